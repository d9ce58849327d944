"""The client over TLS: whom it trusts."""

from __future__ import annotations

from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.web.server import Site

from dpip.client import Client, Untrusted
from dpip.link.certificates import Authority
from tests.client.server import ServedTestCase, StandIn, answer, reactor, temporary_folder


class TlsTests(ServedTestCase):
    def setUp(self) -> None:
        folder = temporary_folder(self)
        self.authority = Authority.load_or_create(folder, reactor.seconds())
        self.pem = folder / "public.pem"
        self.pem.write_text(self.authority.pem)
        self.stand_in = StandIn()
        options = self.authority.server_options()
        self.client = self.serve(Site(self.stand_in), options, authority=self.pem)

    async def test_a_server_of_the_named_authority(self) -> None:
        self.stand_in.answers.append(answer({"system_name": "DPIP"}))
        self.assertEqual((await self.client.status())["system_name"], "DPIP")

    async def test_a_server_that_nobody_vouches_for(self) -> None:
        stranger = Client(reactor, self.url, clock=self.clock)
        error = await self.refusal(Untrusted, stranger.status())
        words = f"No answer from {self.url}: no secure connection (certificate verify failed)."
        self.assertEqual(str(error), words)
        self.assertEqual((self.stand_in.seen, self.clock.pauses), ([], []))

    async def test_a_certificate_for_another_name(self) -> None:
        tls = TLSMemoryBIOFactory(self.authority.server_options(), False, self.factory)
        port = reactor.listenTCP(0, tls, interface="127.0.0.2")
        self.addCleanup(port.stopListening)
        url = f"https://127.0.0.2:{port.getHost().port}"
        client = Client(reactor, url, clock=self.clock, authority=self.pem)
        error = await self.refusal(Untrusted, client.status())
        self.assertEqual(str(error), f"No answer from {url}: its certificate is for another name.")
        self.assertEqual((self.stand_in.seen, self.clock.pauses), ([], []))
