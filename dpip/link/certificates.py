"""The controller's certificate authority: it proves who the controller is, and which worker has joined.

The join token (``dpip.link.join_token``) begins with the SHA-256 of the authority's certificate. A worker
connects with TLS, and OpenSSL verifies the controller's certificate as usual: signatures, dates, purpose.
The authority that it trusts is the one whose hash is in the token. Nothing is sent before that handshake has
succeeded, so only the controller ever sees the secret.

For the token's secret the worker gets a certificate of its own, for a key that never leaves it, and presents
that one from then on. OpenSSL verifies it like the controller's, but for the dates: the controller checks
them by its own clock, and explains in words that the worker can log.

An API process (``dpip.api_process``) sees passwords and speaks for every user, so it has a token of its own,
the API token, of the same form: with a worker's token it may not join.

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
    """The server that answered is not the controller that the join token is for; says why."""


@frozen
class _Identity:
    """A certificate and its key, in one file so that neither can be there without the other."""

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
    """The controller's identity. The module's docstring names its files."""

    tokens: TokenFile
    api_tokens: TokenFile
    _root: _Identity
    _server: _Identity

    @classmethod
    def load_or_create(cls, directory: Path, now: float, hosts: Sequence[str] = ()) -> Authority:
        """Read the files in ``directory``, and make what is missing, about to expire, or for other names.

        The server's certificate is for this machine's names and ``hosts``. Blocks briefly.
        """
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        moment = datetime.fromtimestamp(now, UTC)
        root = _Identity.read(directory / "authority.pem")
        if root is None:
            root = _new_root(moment)
            root.write(directory / "authority.pem")
        _publish(directory / PUBLIC_FILE, root.certificate.public_bytes(Encoding.PEM))
        server = _Identity.read(directory / "server.pem")
        names = _names([*own_hosts(), *hosts])
        if server is None or not _still_good(server, root, moment, names):
            server = new_server(root, moment, names)
            server.write(directory / "server.pem")
        pin = fingerprint(root.certificate)
        tokens, api_tokens = (
            TokenFile.load_or_create(directory / name, pin, now) for name in (TOKEN_FILE, API_TOKEN_FILE)
        )
        return cls(tokens, api_tokens, root, server)

    @property
    def pem(self) -> str:
        """The authority's certificate, which is no secret."""
        return self._root.certificate.public_bytes(Encoding.PEM).decode()

    @property
    def token(self) -> JoinToken:
        """The join token, as an operator hands it to a worker."""
        return self.tokens.current

    def certify(self, name: str, key: str, now: float, seconds: float) -> tuple[str, Presented]:
        """Return a certificate (PEM) for the worker of that name, valid for so many seconds, and its facts.

        Raises ValueError if ``key`` is not the PEM of a public key on the curve that workers use.
        """
        public = load_pem_public_key(key.encode())
        if not isinstance(public, ec.EllipticCurvePublicKey) or not isinstance(public.curve, ec.SECP256R1):
            raise ValueError("not a key on the curve P-256")
        moment, lifetime = datetime.fromtimestamp(now, UTC), timedelta(seconds=seconds)
        purpose = ExtendedKeyUsageOID.CLIENT_AUTH
        builder = _builder(_shown(name), self._root, public, moment, lifetime, purpose)
        made = builder.sign(self._root.key, hashes.SHA256())
        return made.public_bytes(Encoding.PEM).decode(), Presented.of(made)

    def identity_for(self, hosts: Sequence[str], now: float) -> str:
        """Return a new key and certificate for a server with these names, and the authority's: PEM."""
        made = new_server(self._root, datetime.fromtimestamp(now, UTC), _names(hosts))
        return made.pem().decode() + self.pem

    def server_options(self) -> CertificateOptions:
        """Return the options of a TLS server that presents this identity, as an API without its own does."""
        return _options(self._server.key, self._server.certificate, [self._root.certificate])

    def workers_options(self) -> CertificateOptions:
        """Return the options of the workers' port, which asks clients for a certificate of this authority.

        Clients without one may connect: all that they can do is to ask for one. Dates are checked later.
        Sessions are never resumed (Twisted's default): each connection presents its certificate anew.
        """
        trusted = trustRootFromCertificates([Certificate.loadPEM(self.pem.encode())])
        options = _options(self._server.key, self._server.certificate, [self._root.certificate], trusted)
        options.getContext().set_verify(SSL.VERIFY_PEER, _verified_but_for_dates)
        return options


def _verified_but_for_dates(_: object, __: object, code: int, depth: int, good: int) -> bool:
    return bool(good) or (depth == 0 and code in (_EXPIRED, _NOT_YET_VALID))


@frozen
class Presented:
    """Facts of the certificate that a peer has proved to be its own: serial in hex, dates since the epoch."""

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
    """Return facts of the certificate of this TLS connection's client, verified but for its dates."""
    certificate = transport.getPeerCertificate()
    return None if certificate is None else Presented.of(certificate.to_cryptography())


@frozen
class Key:
    """A worker's own private key, which never leaves it."""

    private: ec.EllipticCurvePrivateKey = field(
        factory=lambda: ec.generate_private_key(ec.SECP256R1()), repr=False
    )

    def public(self) -> str:
        """Return the public key as PEM."""
        form = Encoding.PEM, PublicFormat.SubjectPublicKeyInfo
        return self.private.public_key().public_bytes(*form).decode()


@frozen
class Credential:
    """A worker's key and its certificate (PEM), signed by the authority with the hash ``pin``.

    ``renew_at`` and ``until`` are times of the worker's own clock.
    """

    pin: str
    key: Key
    certificate: str
    renew_at: float
    until: float


def options_of(identity: str) -> CertificateOptions:
    """Return the options of a TLS server that presents what :meth:`Authority.identity_for` has made."""
    certificate, *chain = x509.load_pem_x509_certificates(identity.encode())
    return _options(load_pem_private_key(identity.encode(), None), certificate, chain)


def _options(
    key: Any, certificate: x509.Certificate, chain: Sequence[x509.Certificate] = (), trusted: Any = None
) -> CertificateOptions:
    """Return the options of a TLS peer with this key and certificate that trusts ``trusted``."""
    return CertificateOptions(
        privateKey=crypto.PKey.from_cryptography_key(key),
        certificate=crypto.X509.from_cryptography(certificate),
        extraCertChain=[crypto.X509.from_cryptography(each) for each in chain],
        trustRoot=trusted,
        raiseMinimumTo=TLSVersion.TLSv1_2,
    )


def fingerprint(certificate: x509.Certificate) -> str:
    """Return the SHA-256 of the certificate's DER, in hex."""
    return hashlib.sha256(certificate.public_bytes(Encoding.DER)).hexdigest()


def fingerprint_of_pem(pem: str) -> str:
    """Return the fingerprint of the certificate in ``pem``. Raises ValueError if there is none."""
    return fingerprint(x509.load_pem_x509_certificate(pem.encode()))


@implementer(IOpenSSLClientConnectionCreator)
class Pinned:
    """Makes TLS clients that trust one authority alone, known by its fingerprint.

    Clients with a credential present it to a server that asks.
    """

    def __init__(self, pin: str, credential: Credential | None = None) -> None:
        self._pin = pin
        self._context = _client_options(credential).getContext()

    def clientConnectionForTLS(self, tlsProtocol: TLSMemoryBIOProtocol) -> SSL.Connection:
        """Return a connection whose handshake fails unless the chain ends in the pinned authority."""
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
    return _options(credential.key.private, certificate)


# OpenSSL's X509_V_ERR_…; the first means that the chain is complete and ends in a root that it does not know.
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
    name = f"DPIP authority {secrets.token_hex(4)}"
    builder = _builder(name, None, key.public_key(), now, _AUTHORITY_YEARS * _YEAR)
    return _Identity(builder.sign(key, hashes.SHA256()), key)


def new_server(root: _Identity, now: datetime, names: Sequence[x509.GeneralName] | None = None) -> _Identity:
    """Make a server's key and certificate, signed by ``root``; by default for the names of this machine."""
    key, lifetime = ec.generate_private_key(ec.SECP256R1()), _SERVER_YEARS * _YEAR
    purpose = ExtendedKeyUsageOID.SERVER_AUTH
    builder = _builder("DPIP controller", root, key.public_key(), now, lifetime, purpose)
    builder = builder.add_extension(x509.SubjectAlternativeName(names or _names(own_hosts())), critical=False)
    return _Identity(builder.sign(root.key, hashes.SHA256()), key)


def _builder(
    name: str,
    root: _Identity | None,
    key: ec.EllipticCurvePublicKey,
    now: datetime,
    lifetime: timedelta,
    purpose: x509.ObjectIdentifier | None = None,
) -> x509.CertificateBuilder:
    """Begin a certificate with this common name, to be signed by ``root``, or by itself if that is None."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    signer = key if root is None else root.key.public_key()
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject if root is None else root.certificate.subject)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _SKEW)
        .not_valid_after(now + lifetime)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer), critical=False)
        .add_extension(x509.BasicConstraints(root is None, 0 if root is None else None), critical=True)
        .add_extension(_usage(signs_certificates=root is None), critical=True)
    )
    if purpose is None:
        return builder
    return builder.add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)


def _shown(name: str) -> str:
    """Return a worker's name for people who look at its certificate. The serial number identifies it."""
    return name.encode("ascii", "replace").decode()[:_MOST_NAME]


def _usage(signs_certificates: bool) -> x509.KeyUsage:
    rest: dict[str, Any] = dict.fromkeys(
        ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement"), False
    )
    rest |= dict.fromkeys(("crl_sign", "encipher_only", "decipher_only"), False)
    return x509.KeyUsage(digital_signature=not signs_certificates, key_cert_sign=signs_certificates, **rest)


def own_hosts() -> list[str]:
    """Return the names of this machine."""
    return list(dict.fromkeys(("localhost", socket.gethostname(), socket.getfqdn())))


def _names(hosts: Sequence[str]) -> list[x509.GeneralName]:
    """Return the names for a certificate: these hosts, and the loopback addresses."""
    names = [name for host in (*hosts, "127.0.0.1", "::1") if (name := _name(host)) is not None]
    return list(dict.fromkeys(names))


def _name(host: str) -> x509.GeneralName | None:
    """Return an address or a host's name for a certificate; None for what cannot be in one."""
    try:
        return x509.IPAddress(ip_address(host))
    except ValueError:
        return x509.DNSName(host) if re.fullmatch(r"[A-Za-z0-9*][A-Za-z0-9._-]{0,252}", host) else None


def _still_good(server: _Identity, root: _Identity, now: datetime, names: Sequence[x509.GeneralName]) -> bool:
    """Say whether it is signed by this root, is for these names, and has time left."""
    certificate = server.certificate
    try:
        certificate.verify_directly_issued_by(root.certificate)
        shown = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except Exception:  # noqa: BLE001 - whatever is wrong with it, a new one is the answer
        return False
    if set(shown) != set(names):
        return False
    return certificate.not_valid_before_utc <= now < certificate.not_valid_after_utc - _RENEW_YEARS * _YEAR
