"""Workers' certificates: issued for the join token, renewed in time, and checked when a worker joins."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attrs import frozen
from twisted.internet.interfaces import IReactorTime

from dpip.errors import BadCertificate, Malformed
from dpip.interfaces import IDatastore
from dpip.link import worker_messages as wire
from dpip.link.broker import Broker
from dpip.link.certificates import Authority, Presented
from dpip.link.join_token import JoinToken
from dpip.model import CertificateRecord
from dpip.runtime.coroutines import deferred


@frozen
class Certificates:
    """``presented(transport)`` is the certificate of its other end; each is good for ``seconds``."""

    authority: Authority
    datastore: IDatastore
    clock: IReactorTime
    presented: Callable[[Any], Presented | None]
    seconds: float

    def admit(self, secret: bytes) -> JoinToken:
        """The join token of this secret. Raises BadToken."""
        return self.authority.tokens.admit(secret, self.clock.seconds())

    def shown(self, broker: Broker) -> Presented | None:
        """The peer's certificate, if it has shown one. Raises BadCertificate."""
        presented = self.presented(broker.transport)
        now = self.clock.seconds()
        if presented is not None and not presented.since <= now < presented.until:
            raise BadCertificate("The worker's certificate has expired, or one of the two clocks is wrong.")
        return presented

    @deferred
    async def issue(self, name: str, key: str, address: str, token: JoinToken) -> wire.Certificate:
        """Issue a first certificate. Raises Malformed, WorkerRevoked, RetryLater."""
        answer, record = self._made(name, key, address)
        await self.datastore.issue_certificate(record, token.made)
        return answer

    @deferred
    async def renew(
        self, name: str, key: str, address: str, last: Presented
    ) -> tuple[wire.Certificate, Presented]:
        """Issue the next certificate. Raises Malformed, BadCertificate, RetryLater."""
        answer, record = self._made(name, key, address)
        await self.datastore.renew_certificate(record, last.serial)
        return answer, Presented(record.serial, record.issued_at, record.expires_at)

    def _made(self, name: str, key: str, address: str) -> tuple[wire.Certificate, CertificateRecord]:
        now = self.clock.seconds()
        try:
            pem, made = self.authority.certify(name, key, now, self.seconds)
        except ValueError as error:
            raise Malformed(f"No certificate can be made for this key: {error}.") from None
        return wire.Certificate(pem, self.seconds), CertificateRecord(
            made.serial, name, address, now, made.until
        )
