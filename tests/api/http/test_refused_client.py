"""A client that is refused while it is still sending can read why: over real sockets, plain and TLS."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from twisted.internet import reactor, ssl
from twisted.internet.endpoints import SSL4ClientEndpoint, connectProtocol

from tests.api.client import Connection, Form, request_bytes
from tests.api.fixture import ApiTest, picture

MIB = 1024 * 1024


class RefusedClientTests(ApiTest):
    def refused_upload(self) -> bytes:
        """Headers that are refused, with a body that no socket buffer holds."""
        return request_bytes("POST", "/images", {"Content-Type": Form().content_type}, bytes(12 * MIB))

    async def check(self, connection: Connection) -> None:
        connection.send(self.refused_upload())
        self.assert_problem(await connection.response(), 401, "not-logged-in")
        connection.transport.loseConnection()
        await self.server_side_gone()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    async def test_on_a_plain_socket(self) -> None:
        await self.check(await self.connect())

    async def test_the_server_hangs_up_on_who_never_stops(self) -> None:
        connection = await self.connect()
        connection.send(request_bytes("POST", "/images", {"Content-Length": "1000000000"}))
        self.assert_problem(await connection.response(), 401, "not-logged-in")
        self.clock.advance(self.limits.linger_seconds)
        await self.server_side_gone()
        await connection.closed


class TlsTests(RefusedClientTests):
    def _listen(self):
        return reactor.listenSSL(0, self.site, certificate().options(), interface="127.0.0.1")

    async def connect(self) -> Connection:
        options = ssl.CertificateOptions(acceptableProtocols=[b"h2", b"http/1.1"])
        endpoint = SSL4ClientEndpoint(reactor, "127.0.0.1", self.port, options)
        connection = await connectProtocol(endpoint, Connection())
        self.addCleanup(connection.drop)
        return connection

    async def test_an_upload_and_a_download(self) -> None:
        workload = self.stored_workload()
        image = (await self.upload(workload)).json()["image_id"]
        self.assertEqual((await self.get(f"/images/{image}", self.user)).body, picture())


def certificate() -> ssl.PrivateCertificate:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    now = datetime.now(UTC)
    builder = builder.not_valid_before(now).not_valid_after(now + timedelta(days=1))
    signed = builder.sign(key, SHA256()).public_bytes(Encoding.PEM)
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return ssl.PrivateCertificate.loadPEM(signed + secret)
