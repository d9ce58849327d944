"""Who the controller is, and who has joined it: a certificate authority of its own, for both.

The join token (``dpip.link.join_token``) begins with the SHA-256 of the authority's certificate. A worker
connects with TLS and lets OpenSSL verify the certificates it is shown as usual: signatures, dates, purpose.
Only one thing is ours: the authority it trusts is the one whose hash is in the token. Nothing is sent before
that handshake has succeeded, so nobody but the controller ever sees the secret.

For the token's secret the worker gets a certificate of its own, for a key that never leaves it, and from
then on shows that one. OpenSSL verifies it like the controller's, but for the dates: those are the
controller's to check, by its own clock, and in words that the worker can read.

An API process (``dpip.api_process``) sees passwords and speaks for every user, so it has a token of its own,
the API token, of the same form: a worker's token does not open its place.

Files in the state directory, all 0600: ``authority.pem`` and ``server.pem`` (key and certificate each),
``ca.pem`` (the authority's certificate alone, for clients), ``join-token``, ``api-token``. Removing a token
and restarting makes a new secret; removing ``authority.pem`` makes a new authority, and with it new tokens.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import socket
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final

from attrs import field, frozen
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from OpenSSL import SSL, crypto
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from twisted.internet.ssl import Certificate, CertificateOptions, TLSVersion, trustRootFromCertificates
from twisted.protocols.tls import TLSMemoryBIOProtocol
from twisted.python.failure import Failure
from zope.interface import implementer

from dpip.link.join_token import API_TOKEN_FILE, TOKEN_FILE, JoinToken, TokenFile, write_secret

PUBLIC_FILE: Final = "ca.pem"
"""For clients: ``authority.pem`` holds the authority's key, and must stay where it is."""
_AUTHORITY_YEARS: Final = 30
_SERVER_YEARS: Final = 3
_RENEW_YEARS: Final = 1
"""A server certificate with less than this left is renewed at the next start."""
_YEAR: Final = timedelta(days=365)
_MOST_NAME: Final = 64  # X.509
_SKEW: Final = timedelta(days=1)
"""Certificates begin in the past, for workers whose clock is behind."""


class WrongController(Exception):
    """Who answered is not the controller that the join token is for, in a sentence."""


@frozen
class _Identity:
    """A certificate and its key, kept together in one file so that neither can be there without the other."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey = field(repr=False)

    @classmethod
    def read(cls, path: Path) -> _Identity | None:
        try:
            pem = path.read_bytes()
        except FileNotFoundError:
            return None
        key = load_pem_private_key(pem, None)
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise ValueError(f"{path} does not hold a key of ours; move it away and a new one is made.")
        return cls(x509.load_pem_x509_certificate(pem), key)

    def pem(self) -> bytes:
        key = self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        return key + self.certificate.public_bytes(Encoding.PEM)

    def write(self, path: Path) -> None:
        write_secret(path, self.pem())


@frozen
class Authority:
    """The controller's identity. See the module for the files it lives in."""

    tokens: TokenFile
    api_tokens: TokenFile
    _root: _Identity
    _server: _Identity

    @classmethod
    def load_or_create(cls, directory: Path, now: float) -> Authority:
        """What is in ``directory``, with whatever is missing or about to expire made anew. Blocks briefly."""
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        moment = datetime.fromtimestamp(now, UTC)
        root = _Identity.read(directory / "authority.pem")
        if root is None:
            root = _new_root(moment)
            root.write(directory / "authority.pem")
        _publish(directory / PUBLIC_FILE, root.certificate.public_bytes(Encoding.PEM))
        server = _Identity.read(directory / "server.pem")
        if server is None or not _still_good(server, root, moment):
            server = new_server(root, moment)
            server.write(directory / "server.pem")
        pin = fingerprint(root.certificate)
        tokens, api_tokens = (
            TokenFile.load_or_create(directory / name, pin, now) for name in (TOKEN_FILE, API_TOKEN_FILE)
        )
        return cls(tokens, api_tokens, root, server)

    @property
    def pem(self) -> str:
        """The authority's certificate: no secret."""
        return self._root.certificate.public_bytes(Encoding.PEM).decode()

    @property
    def token(self) -> JoinToken:
        """The join token, as an operator hands it to a worker."""
        return self.tokens.current

    def certify(self, name: str, key: str, now: float, seconds: float) -> tuple[str, Presented]:
        """A certificate (PEM) for the worker of that name, and what it says.

        ``key`` is the PEM of a public one, as workers make them; raises ValueError for anything else.
        """
        public = load_pem_public_key(key.encode())
        if not isinstance(public, ec.EllipticCurvePublicKey) or not isinstance(public.curve, ec.SECP256R1):
            raise ValueError("not a key on the curve P-256")
        moment = datetime.fromtimestamp(now, UTC)
        builder = _certificate(
            _common_name(_shown(name)), self._root.certificate.subject, public, self._root.key, moment
        )
        builder = builder.not_valid_after(moment + timedelta(seconds=seconds))
        builder = _end_entity(builder, ExtendedKeyUsageOID.CLIENT_AUTH)
        made = builder.sign(self._root.key, hashes.SHA256())
        return made.public_bytes(Encoding.PEM).decode(), Presented.of(made)

    def identity_for(self, hosts: Sequence[str], now: float) -> str:
        """Key and certificate for a server that is reached by these names, and the authority's: PEM."""
        made = new_server(self._root, datetime.fromtimestamp(now, UTC), _names(hosts))
        return made.pem().decode() + self.pem

    def server_options(self) -> CertificateOptions:
        """For a TLS server that shows this identity: the workers' port, and an API without one of its own."""
        return CertificateOptions(
            privateKey=crypto.PKey.from_cryptography_key(self._server.key),
            certificate=crypto.X509.from_cryptography(self._server.certificate),
            extraCertChain=[crypto.X509.from_cryptography(self._root.certificate)],
            raiseMinimumTo=TLSVersion.TLSv1_2,
        )

    def workers_options(self) -> CertificateOptions:
        """For the workers' port: it also asks its clients for a certificate of this authority.

        They may have none: what such a one can do is to ask for one. The dates are checked later. Sessions
        are never resumed (Twisted's default): each connection shows its certificate anew.
        """
        options = CertificateOptions(
            privateKey=crypto.PKey.from_cryptography_key(self._server.key),
            certificate=crypto.X509.from_cryptography(self._server.certificate),
            extraCertChain=[crypto.X509.from_cryptography(self._root.certificate)],
            trustRoot=trustRootFromCertificates([Certificate.loadPEM(self.pem.encode())]),
            raiseMinimumTo=TLSVersion.TLSv1_2,
        )
        options.getContext().set_verify(SSL.VERIFY_PEER, _verified_but_for_dates)
        return options


def _verified_but_for_dates(_: object, __: object, code: int, depth: int, good: int) -> bool:
    return bool(good) or (depth == 0 and code in (_EXPIRED, _NOT_YET_VALID))


@frozen
class Presented:
    """The certificate that a peer has proved to be its own: ``serial`` in hex, dates by the epoch."""

    serial: str
    since: float
    until: float

    @classmethod
    def of(cls, certificate: x509.Certificate) -> Presented:
        return cls(
            format(certificate.serial_number, "x"),
            certificate.not_valid_before_utc.timestamp(),
            certificate.not_valid_after_utc.timestamp(),
        )


def presented_over(transport: Any) -> Presented | None:
    """What the client at the other end of this TLS connection has shown, verified but for its dates."""
    certificate = transport.getPeerCertificate()
    return None if certificate is None else Presented.of(certificate.to_cryptography())


@frozen
class Key:
    """A worker's own, made by it, and never told."""

    private: ec.EllipticCurvePrivateKey = field(
        factory=lambda: ec.generate_private_key(ec.SECP256R1()), repr=False
    )

    def public(self) -> str:
        """PEM."""
        form = Encoding.PEM, PublicFormat.SubjectPublicKeyInfo
        return self.private.public_key().public_bytes(*form).decode()


@frozen
class Credential:
    """What a worker shows: its key's certificate (PEM), given by the authority of this hash.

    ``renew_at`` and ``until`` by the worker's own clock.
    """

    pin: str
    key: Key
    certificate: str
    renew_at: float
    until: float


def options_of(identity: str) -> CertificateOptions:
    """For a TLS server that shows what :meth:`Authority.identity_for` has made."""
    data = identity.encode()
    certificate, *chain = x509.load_pem_x509_certificates(data)
    key = load_pem_private_key(data, None)
    return CertificateOptions(
        privateKey=crypto.PKey.from_cryptography_key(key),  # type: ignore[arg-type]  # one of ours
        certificate=crypto.X509.from_cryptography(certificate),
        extraCertChain=[crypto.X509.from_cryptography(each) for each in chain],
        raiseMinimumTo=TLSVersion.TLSv1_2,
    )


def fingerprint(certificate: x509.Certificate) -> str:
    """SHA-256 of the certificate's DER, in hex."""
    return hashlib.sha256(certificate.public_bytes(Encoding.DER)).hexdigest()


def fingerprint_of_pem(pem: str) -> str:
    """Raises ValueError."""
    return fingerprint(x509.load_pem_x509_certificate(pem.encode()))


@implementer(IOpenSSLClientConnectionCreator)
class Pinned:
    """TLS clients that trust one authority, known by its fingerprint, and talk to nobody else.

    Those with a credential show it to whoever asks.
    """

    def __init__(self, pin: str, credential: Credential | None = None) -> None:
        self._pin = pin
        self._context = _client_options(credential).getContext()

    def clientConnectionForTLS(self, tlsProtocol: TLSMemoryBIOProtocol) -> SSL.Connection:
        """A connection whose handshake fails unless the chain ends in the pinned authority."""
        connection = SSL.Connection(self._context, None)

        def verify(_: SSL.Connection, certificate: crypto.X509, code: int, depth: int, good: int) -> bool:
            if good or (code == _OF_UNKNOWN_ROOT and self._is_pinned(certificate)):
                return True
            shown = fingerprint(certificate.to_cryptography())
            tlsProtocol.failVerification(Failure(WrongController(_why(code, shown, self._pin))))
            return False

        connection.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, verify)
        return connection

    def _is_pinned(self, certificate: crypto.X509) -> bool:
        return hmac.compare_digest(fingerprint(certificate.to_cryptography()), self._pin)


def _client_options(credential: Credential | None) -> CertificateOptions:
    if credential is None:
        return CertificateOptions(raiseMinimumTo=TLSVersion.TLSv1_2)
    certificate = x509.load_pem_x509_certificate(credential.certificate.encode())
    return CertificateOptions(
        privateKey=crypto.PKey.from_cryptography_key(credential.key.private),
        certificate=crypto.X509.from_cryptography(certificate),
        raiseMinimumTo=TLSVersion.TLSv1_2,
    )


# OpenSSL's X509_V_ERR_…: the first is how it says that a chain is whole and ends in a root it does not know.
_OF_UNKNOWN_ROOT: Final = 19
_NOT_YET_VALID: Final = 9
_EXPIRED: Final = 10
_BAD_SIGNATURE: Final = 7


def _why(code: int, shown: str, pin: str) -> str:
    if code == _EXPIRED:
        return (
            "The controller's certificate has expired: restart the controller, or set this machine's clock."
        )
    if code == _NOT_YET_VALID:
        return "The controller's certificate is not valid yet: check the clocks of both machines."
    if code == _OF_UNKNOWN_ROOT:
        return (
            f"Not the controller that the join token is for: its authority is {shown[:16]}…, "
            f"the token's is {pin[:16]}…. Was the token copied from another controller, or is it an old one?"
        )
    if code == _BAD_SIGNATURE:
        return "The certificate shown is not signed by the authority it names: this is not the controller."
    return f"The certificate shown does not come from the join token's authority (OpenSSL error {code})."


def _publish(path: Path, certificate: bytes) -> None:
    """Write the file if it is missing, or of an earlier authority."""
    if not path.exists() or path.read_bytes() != certificate:
        write_secret(path, certificate)


def _new_root(now: datetime) -> _Identity:
    key = ec.generate_private_key(ec.SECP256R1())
    name = _common_name(f"DPIP authority {secrets.token_hex(4)}")
    builder = _certificate(name, name, key.public_key(), key, now)
    builder = builder.not_valid_after(now + _AUTHORITY_YEARS * _YEAR)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    builder = builder.add_extension(_usage(signs_certificates=True), critical=True)
    return _Identity(builder.sign(key, hashes.SHA256()), key)


def new_server(root: _Identity, now: datetime, names: Sequence[x509.GeneralName] | None = None) -> _Identity:
    """A server's certificate, signed by ``root``; by default for the names of this machine."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = _common_name("DPIP controller")
    builder = _certificate(name, root.certificate.subject, key.public_key(), root.key, now)
    builder = builder.not_valid_after(now + _SERVER_YEARS * _YEAR)
    builder = _end_entity(builder, ExtendedKeyUsageOID.SERVER_AUTH)
    builder = builder.add_extension(x509.SubjectAlternativeName(names or _names(own_hosts())), critical=False)
    return _Identity(builder.sign(root.key, hashes.SHA256()), key)


def _certificate(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePublicKey,
    signer: ec.EllipticCurvePrivateKey,
    now: datetime,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _SKEW)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False
        )
    )


def _end_entity(builder: x509.CertificateBuilder, purpose: x509.ObjectIdentifier) -> x509.CertificateBuilder:
    return (
        builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
    )


def _common_name(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _shown(name: str) -> str:
    """A worker's name for people who look at its certificate; who it is, its serial number says."""
    return name.encode("ascii", "replace").decode()[:_MOST_NAME]


def _usage(signs_certificates: bool) -> x509.KeyUsage:
    rest: dict[str, Any] = dict.fromkeys(
        ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement"), False
    )
    rest |= dict.fromkeys(("crl_sign", "encipher_only", "decipher_only"), False)
    return x509.KeyUsage(digital_signature=not signs_certificates, key_cert_sign=signs_certificates, **rest)


def own_hosts() -> list[str]:
    """The names of this machine."""
    return list(dict.fromkeys(("localhost", socket.gethostname(), socket.getfqdn())))


def _names(hosts: Sequence[str]) -> list[x509.GeneralName]:
    """Of these, and of the machine itself as seen from there."""
    names: list[x509.GeneralName] = [
        x509.DNSName(host) for host in hosts if re.fullmatch(r"[A-Za-z0-9.-]{1,253}", host)
    ]
    return names + [x509.IPAddress(ip_address(address)) for address in ("127.0.0.1", "::1")]


def _still_good(server: _Identity, root: _Identity, now: datetime) -> bool:
    """Signed by this root, and with time left."""
    certificate = server.certificate
    try:
        certificate.verify_directly_issued_by(root.certificate)
    except Exception:  # noqa: BLE001 - whatever is wrong with it, a new one is the answer
        return False
    return certificate.not_valid_before_utc <= now < certificate.not_valid_after_utc - _RENEW_YEARS * _YEAR
