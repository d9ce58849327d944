"""The controller's identity, the join token, and clients that talk to nobody else."""

from __future__ import annotations

import contextlib
import os
import ssl
import stat
import tempfile
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from OpenSSL import SSL, crypto
from twisted.internet import reactor
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.ssl import CertificateOptions
from twisted.internet.task import Clock
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python.failure import Failure
from twisted.test.iosim import FakeTransport, connect
from twisted.trial.unittest import SynchronousTestCase, TestCase

from dpip.link.certificates import (
    Authority,
    Credential,
    Key,
    Pinned,
    Presented,
    WrongController,
    fingerprint_of_pem,
    presented_over,
)
from dpip.link.join_token import API_TOKEN_FILE, TOKEN_FILE, BadToken, JoinToken, TokenFile, write_secret

NOW = 1_800_000_000.0
YEAR = 365 * 86400.0


class Files(SynchronousTestCase):
    def setUp(self) -> None:
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.state = Path(temporary.name) / "state"

    def load(self, now: float = NOW) -> Authority:
        return Authority.load_or_create(self.state, now)

    def test_the_second_start_finds_what_the_first_has_made(self) -> None:
        first = self.load()
        second = self.load(NOW + 5)
        self.assertEqual(identity(first), identity(second))
        self.assertEqual((self.state / TOKEN_FILE).read_text(), f"{first.token}\n")

    def test_changed_names_renew_the_certificate_and_nothing_else(self) -> None:
        first = self.load()
        second = Authority.load_or_create(self.state, NOW, ["10.0.0.1", "images.example", "fd00::1"])
        self.assertNotEqual(identity(first), identity(second))
        self.assertEqual((second.pem, second.token), (first.pem, first.token))
        again = Authority.load_or_create(self.state, NOW, ["images.example", "fd00::1", "10.0.0.1"])
        self.assertEqual(identity(again), identity(second))
        shown = again._server.certificate.extensions.get_extension_for_class(
            x509.SubjectAlternativeName
        ).value
        self.assertIn("images.example", shown.get_values_for_type(x509.DNSName))
        addresses = map(str, shown.get_values_for_type(x509.IPAddress))
        self.assertEqual({*addresses}, {"10.0.0.1", "fd00::1", "127.0.0.1", "::1"})

    def test_everything_is_for_the_owner_alone(self) -> None:
        self.load()
        names = {path.name: stat.S_IMODE(path.stat().st_mode) for path in self.state.iterdir()}
        self.assertEqual(
            names, dict.fromkeys(("authority.pem", "ca.pem", "server.pem", TOKEN_FILE, API_TOKEN_FILE), 0o600)
        )
        self.assertEqual(stat.S_IMODE(self.state.stat().st_mode), 0o700)

    def test_the_file_for_clients_holds_the_certificate_and_no_key(self) -> None:
        authority = self.load()
        self.assertEqual((self.state / "ca.pem").read_text(), authority.pem)
        self.assertNotIn("PRIVATE KEY", authority.pem)

    def test_an_api_process_has_a_token_of_its_own(self) -> None:
        authority = self.load()
        token = JoinToken.parse((self.state / API_TOKEN_FILE).read_text())
        self.assertEqual(token.pin, authority.token.pin)
        self.assertEqual(admitted(authority.api_tokens, token.secret), token)
        self.assertRaises(BadToken, admitted, authority.api_tokens, authority.token.secret)
        self.assertRaises(BadToken, admitted, authority.tokens, token.secret)

    def test_the_token_names_the_authority_and_admits(self) -> None:
        authority = self.load()
        token = JoinToken.parse(str(authority.token))
        self.assertEqual(token.pin, fingerprint_of_pem(authority.pem))
        self.assertEqual(admitted(authority.tokens, token.secret), token)
        for wrong in ("", token.secret[:-1], "x" * 200, "é"):
            self.assertRaises(BadToken, admitted, authority.tokens, wrong)

    def test_removing_the_token_makes_a_new_secret_of_the_same_authority(self) -> None:
        old = self.load()
        (self.state / TOKEN_FILE).unlink()
        new = self.load()
        self.assertEqual(new.token.pin, old.token.pin)
        self.assertRaises(BadToken, admitted, new.tokens, old.token.secret)

    def rotated(self, grace: float) -> tuple[str, str]:
        """The last secret, and the new one."""
        tokens = self.load().tokens
        last = tokens.current
        tokens.use(tokens.write_new(NOW, None, grace), NOW, grace)
        return last.secret, tokens.current.secret

    def test_the_grace_of_a_rotation_survives_the_controller(self) -> None:
        last, new = self.rotated(60.0)
        again = self.load(NOW + 5).tokens
        self.assertEqual(again.current.secret, new)
        admitted(again, last, NOW + 59)
        self.assertRaises(BadToken, admitted, again, last, NOW + 60)
        self.assertRaises(BadToken, admitted, self.load(NOW + 61).tokens, last, NOW + 61)
        self.assertEqual(stat.S_IMODE((self.state / f"{TOKEN_FILE}.former").stat().st_mode), 0o600)

    def test_no_grace_is_none_after_a_restart_either(self) -> None:
        first, _ = self.rotated(60.0)
        second, _ = self.rotated(0.0)
        for secret in (first, second):
            self.assertRaises(BadToken, admitted, self.load().tokens, secret)

    def test_who_removes_the_token_ends_the_last_ones_grace(self) -> None:
        last, new = self.rotated(60.0)
        (self.state / TOKEN_FILE).unlink()
        for secret in (last, new):
            self.assertRaises(BadToken, admitted, self.load().tokens, secret)

    def test_a_former_token_that_is_damaged_is_none(self) -> None:
        last, new = self.rotated(60.0)
        for damage in ("", "x", f"{last} 99999999999", f"{'0' * 64}.{last} 99999999999"):
            (self.state / f"{TOKEN_FILE}.former").write_text(damage)
            tokens = self.load().tokens
            admitted(tokens, new)
            self.assertRaises(BadToken, admitted, tokens, last)

    def test_removing_the_authority_makes_everything_new(self) -> None:
        old = self.load()
        (self.state / "authority.pem").unlink()
        new = self.load()
        self.assertNotEqual(new.token.pin, old.token.pin)
        self.assertNotEqual(new.token.secret, old.token.secret)

    def test_a_damaged_token_file_is_replaced(self) -> None:
        self.load()
        for damage in (b"", b"nonsense", b"\xff\xfe"):
            (self.state / TOKEN_FILE).write_bytes(damage)
            authority = self.load()
            self.assertEqual((self.state / TOKEN_FILE).read_text().strip(), str(authority.token))

    def test_the_server_certificate_is_renewed_in_time_and_the_token_stays(self) -> None:
        first = self.load()
        self.assertEqual(identity(self.load(NOW + 1.9 * YEAR)), identity(first))
        renewed = self.load(NOW + 2.1 * YEAR)
        self.assertNotEqual(identity(renewed), identity(first))
        self.assertEqual((renewed.pem, renewed.token), (first.pem, first.token))

    def test_no_secret_is_shown(self) -> None:
        authority = self.load()
        self.assertNotIn(authority.token.secret, repr(authority))
        self.assertNotIn("PrivateKey", repr(authority))

    def test_a_file_that_cannot_be_written_leaves_nothing_behind(self) -> None:
        target = self.state / "taken"
        target.mkdir(parents=True)
        self.assertRaises(OSError, write_secret, target, b"secret")
        self.assertEqual(os.listdir(self.state), ["taken"])


def admitted(tokens: TokenFile, secret: str, now: float = NOW) -> JoinToken:
    return tokens.admit(secret.encode(), now)


def identity(authority: Authority) -> tuple[str, JoinToken, bytes]:
    server: bytes = crypto.dump_certificate(
        crypto.FILETYPE_PEM, crypto.X509.from_cryptography(authority._server.certificate)
    )
    return authority.pem, authority.token, server


class TokenTests(SynchronousTestCase):
    def test_what_is_no_token_is_refused_without_being_shown(self) -> None:
        good = "ab" * 32 + "." + "s" * 32
        self.assertEqual(str(JoinToken.parse(f" {good}\n")), good)
        for bad in ("", "x", good[1:], good.replace(".", ""), good + "!", "AB" * 32 + "." + "s" * 32):
            error = self.assertRaises(BadToken, JoinToken.parse, bad)
            self.assertNotIn("s" * 32, str(error))


class _End(Protocol):
    """Sends ``greeting`` as soon as it may, and remembers what came."""

    def __init__(self, greeting: bytes) -> None:
        self.greeting = greeting
        self.received = b""
        self.lost: Failure | None = None
        self.presented: Presented | None = None

    def connectionMade(self) -> None:
        assert self.transport is not None
        self.transport.write(self.greeting)

    def dataReceived(self, data: bytes) -> None:
        self.received += data
        self.presented = presented_over(self.transport)

    def connectionLost(self, reason: Any = None) -> None:
        self.lost = reason


def shaken(client_options: Any, server_options: CertificateOptions) -> tuple[_End, _End]:
    """Both ends after a handshake in memory; each has tried to send a secret."""
    clock = Clock()
    ends = _End(b"the client's secret"), _End(b"the server's greeting")
    protocols = [
        TLSMemoryBIOFactory(
            options, is_client, Factory.forProtocol(lambda end=end: end), clock
        ).buildProtocol(IPv4Address("TCP", "127.0.0.1", 1))
        for end, options, is_client in zip(ends, (client_options, server_options), (True, False), strict=True)
    ]
    client, server = protocols
    pump = connect(
        server, FakeTransport(server, True), client, FakeTransport(client, False), clock=clock, greet=False
    )
    pump.flush()
    return ends


def resumed(client_context: ssl.SSLContext, server_context: SSL.Context) -> bool:
    """Does the client come back by the session of its first connection?"""
    first, server = _connection(client_context, server_context, None)
    second, _ = _connection(client_context, server_context, first.session)
    del server  # not earlier: OpenSSL forgets the session of a connection that ends without a goodbye
    return bool(second.session_reused)


def _connection(
    client_context: ssl.SSLContext, server_context: SSL.Context, session: ssl.SSLSession | None
) -> tuple[ssl.SSLObject, SSL.Connection]:
    """Both ends, after the handshake and all that the server says then (its tickets)."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = client_context.wrap_bio(incoming, outgoing, session=session)
    server = SSL.Connection(server_context, None)
    server.set_accept_state()
    for _ in range(5):
        with contextlib.suppress(ssl.SSLWantReadError):
            client.do_handshake()
            client.read(1)
        if said := outgoing.read():
            server.bio_write(said)
        with contextlib.suppress(SSL.WantReadError):
            server.do_handshake()
            server.recv(1)
        with contextlib.suppress(SSL.WantReadError):
            incoming.write(server.bio_read(2**16))
    return client, server


class PinningTests(SynchronousTestCase):
    """OpenSSL reads the real clock: the authority here is made now, or years ago."""

    def setUp(self) -> None:
        self.now = float(reactor.seconds())  # type: ignore[attr-defined]

    def authority(self, age: float = 0.0) -> Authority:
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        return Authority.load_or_create(Path(temporary.name), self.now - age)

    def refused(self, pin: str, options: CertificateOptions) -> str:
        client, server = shaken(Pinned(pin), options)
        self.assertEqual(server.received, b"", "the secret was sent")
        self.assertEqual(client.received, b"")
        assert client.lost is not None
        self.assertIsInstance(client.lost.value, WrongController)
        return str(client.lost.value)

    def test_the_right_controller_is_talked_to(self) -> None:
        authority = self.authority()
        client, server = shaken(Pinned(authority.token.pin), authority.server_options())
        self.assertEqual(server.received, b"the client's secret")
        self.assertEqual(client.received, b"the server's greeting")

    def test_another_authority(self) -> None:
        words = self.refused(self.authority().token.pin, self.authority().server_options())
        self.assertIn("Not the controller that the join token is for", words)

    def test_a_certificate_that_signed_itself(self) -> None:
        pinned, other = self.authority(), self.authority()
        alone = CertificateOptions(
            privateKey=crypto.PKey.from_cryptography_key(other._root.key),
            certificate=crypto.X509.from_cryptography(other._root.certificate),
        )
        self.refused(pinned.token.pin, alone)

    def test_a_self_made_certificate_with_the_right_authority_shown_beside_it(self) -> None:
        pinned, other = self.authority(), self.authority()
        self.refused(pinned.token.pin, _with_chain(other, pinned))

    def test_a_self_made_certificate_that_claims_the_right_issuer(self) -> None:
        """Same issuer's name and key identifier as the real one: only the signature is wrong."""
        pinned, other = self.authority(), self.authority()
        server = _forged(pinned, other)
        words = self.refused(pinned.token.pin, server)
        self.assertIn("not signed by the authority", words)

    def test_the_authority_itself_shown_as_the_server(self) -> None:
        """Who has the authority's key can do anything; but no handshake ever accepts it as a server."""
        pinned = self.authority()
        options = CertificateOptions(
            privateKey=crypto.PKey.from_cryptography_key(pinned._root.key),
            certificate=crypto.X509.from_cryptography(pinned._root.certificate),
        )
        self.refused(pinned.token.pin, options)

    def test_an_expired_certificate(self) -> None:
        old = self.authority(age=4 * YEAR)
        self.assertIn("has expired", self.refused(old.token.pin, old.server_options()))

    def test_a_certificate_of_the_future(self) -> None:
        young = self.authority(age=-3 * 86400)
        self.assertIn("not valid yet", self.refused(young.token.pin, young.server_options()))

    def test_old_versions_of_tls_are_off_on_both_sides(self) -> None:
        authority = self.authority()
        for context in (authority.server_options().getContext(), Pinned(authority.token.pin)._context):
            off = context.set_options(0)
            self.assertTrue(off & SSL.OP_NO_TLSv1_1 and off & SSL.OP_NO_TLSv1)
            self.assertFalse(off & SSL.OP_NO_TLSv1_2)


class ClientTests(SynchronousTestCase):
    """Mutual TLS: what the workers' port learns of who connects."""

    def setUp(self) -> None:
        self.now = float(reactor.seconds())  # type: ignore[attr-defined]
        self.authority = self.made()

    def made(self) -> Authority:
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        return Authority.load_or_create(Path(temporary.name), self.now)

    def credential(self, authority: Authority, age: float = 0.0) -> Credential:
        key = Key()
        pem, _ = authority.certify("anna", key.public(), self.now - age, 3600.0)
        return Credential(self.authority.token.pin, key, pem, 0.0, 0.0)

    def seen(self, credential: Credential | None) -> tuple[bytes, Presented | None]:
        pinned = Pinned(self.authority.token.pin, credential)
        _, server = shaken(pinned, self.authority.workers_options())
        return server.received, server.presented

    def test_a_certificate_of_ours_is_seen(self) -> None:
        key = Key()
        pem, made = self.authority.certify("anna", key.public(), self.now, 3600.0)
        received, presented = self.seen(Credential(self.authority.token.pin, key, pem, 0.0, 0.0))
        self.assertEqual((received, presented), (b"the client's secret", made))
        self.assertLess(abs(made.until - self.now - 3600), 1.0)

    def test_none_may_be_shown(self) -> None:
        self.assertEqual(self.seen(None), (b"the client's secret", None))

    def test_one_that_has_expired_is_seen_and_says_so(self) -> None:
        _, presented = self.seen(self.credential(self.authority, age=7200.0))
        assert presented is not None
        self.assertLess(presented.until, self.now)

    def test_no_session_is_ever_resumed(self) -> None:
        """Who is revoked has to show its certificate again. That a client can resume, others show."""
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            client = self.resuming_client(version)
            self.assertFalse(resumed(client, self.authority.workers_options().getContext()))
            generous = self.authority.workers_options().getContext()
            generous.set_session_cache_mode(SSL.SESS_CACHE_SERVER)
            self.assertTrue(resumed(client, generous), version)

    def resuming_client(self, version: ssl.TLSVersion) -> ssl.SSLContext:
        """One that offers its last session again; with a certificate of ours."""
        credential = self.credential(self.authority)
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        file = Path(temporary.name) / "client.pem"
        form = Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
        file.write_text(credential.key.private.private_bytes(*form).decode() + credential.certificate)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.minimum_version = context.maximum_version = version
        context.load_cert_chain(file)
        return context

    def test_one_of_another_authority_ends_the_handshake(self) -> None:
        self.assertEqual(self.seen(self.credential(self.made())), (b"", None))

    def test_one_for_a_server_is_none_for_a_worker(self) -> None:
        server = self.authority._server
        pem = server.certificate.public_bytes(Encoding.PEM).decode()
        shown = Credential(self.authority.token.pin, Key(server.key), pem, 0.0, 0.0)
        self.assertEqual(self.seen(shown), (b"", None))

    def test_keys_of_other_kinds_get_no_certificate(self) -> None:
        for key in ("", "x", Key(ec.generate_private_key(ec.SECP384R1())).public()):
            self.assertRaises(ValueError, self.authority.certify, "anna", key, self.now, 1.0)

    def test_names_that_x509_has_no_room_for(self) -> None:
        for name in ("ä" * 64, "w" * 64):
            self.authority.certify(name, Key().public(), self.now, 1.0)


class LoopbackTests(TestCase):
    async def test_over_a_real_socket(self) -> None:
        from twisted.internet.endpoints import HostnameEndpoint, serverFromString, wrapClientTLS

        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        authority = Authority.load_or_create(Path(directory.name), float(reactor.seconds()))  # type: ignore[attr-defined]
        heard: Deferred[bytes] = Deferred()

        class Server(Protocol):
            def dataReceived(self, data: bytes) -> None:
                heard.callback(data)

        factory = TLSMemoryBIOFactory(authority.server_options(), False, Factory.forProtocol(Server))
        port = await serverFromString(reactor, "tcp:0:interface=127.0.0.1").listen(factory)
        self.addCleanup(port.stopListening)
        plain = HostnameEndpoint(reactor, "127.0.0.1", port.getHost().port)
        lost: Deferred[None] = Deferred()
        client = _End(b"hello")
        client.connectionLost = lambda reason=None: lost.callback(None)  # type: ignore[method-assign]
        endpoint = wrapClientTLS(Pinned(authority.token.pin), plain)
        await endpoint.connect(Factory.forProtocol(lambda: client))
        self.assertEqual(await heard, b"hello")
        assert client.transport is not None
        client.transport.loseConnection()
        await lost


def _with_chain(server: Authority, root: Authority) -> CertificateOptions:
    return CertificateOptions(
        privateKey=crypto.PKey.from_cryptography_key(server._server.key),
        certificate=crypto.X509.from_cryptography(server._server.certificate),
        extraCertChain=[crypto.X509.from_cryptography(root._root.certificate)],
    )


def _forged(pinned: Authority, forger: Authority) -> CertificateOptions:
    """Everything of a certificate of ``pinned`` but the signature, which is the forger's."""
    from cryptography.hazmat.primitives import hashes

    real = pinned._server.certificate
    builder = x509.CertificateBuilder(
        issuer_name=real.issuer,
        subject_name=real.subject,
        public_key=forger._server.key.public_key(),
        serial_number=real.serial_number,
        not_valid_before=real.not_valid_before_utc,
        not_valid_after=real.not_valid_after_utc,
        extensions=list(real.extensions),
    )
    certificate = builder.sign(forger._root.key, hashes.SHA256())
    return CertificateOptions(
        privateKey=crypto.PKey.from_cryptography_key(forger._server.key),
        certificate=crypto.X509.from_cryptography(certificate),
        extraCertChain=[crypto.X509.from_cryptography(pinned._root.certificate)],
    )
