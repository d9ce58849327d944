"""The real controller behind an API process: every question goes over a link of ``dpip.api_process``."""

from __future__ import annotations

from typing import Any

from twisted.internet import reactor

from dpip.api_process.remote_controller import RemoteController
from dpip.controller.api_processes import ApiProcesses, ApiTerms
from dpip.link.api_messages import PROTOCOL, ApiHello, ApiWelcome
from dpip.link.codec import decode, encode
from dpip.link.exchange import Exchange
from dpip.store.admission import AdmissionControl, RetryAfterQueue
from tests.api.real import RealBackend
from tests.link.links import FakeBroker, FakeReference

HELLO = ApiHello(PROTOCOL, "1", {}, (), wants_identity=False, shares_socket=True)


class RemoteBackend(RealBackend):
    """Mixed into an :class:`tests.api.fixture.ApiTest` before it."""

    def served(self: Any) -> Any:
        real = self.controller.real
        limits = real.admission
        apis = ApiProcesses(
            admit=lambda secret: None,
            controller=self.controller,
            put_mark=self._mark,
            new_nonce=self.ids,
            terms=ApiTerms("1", {}, limits.max_upload, limits.max_in_flight, 0, lambda hosts: ""),
            admission=limits,
            clock=reactor,  # type: ignore[arg-type]
            moved=lambda url: None,
        )
        real.tokens_died = apis.forget_tokens
        self.admission = AdmissionControl(self.store.space, 0, 0, RetryAfterQueue(lambda: 0.0))
        api = RemoteController(self.admission, lambda: self.now)
        here = Exchange(reactor, api.answer)  # type: ignore[arg-type]
        broker: Any = FakeBroker()
        to_here: Any = FakeReference(here, broker, reactor)
        welcome, there = apis.join(broker, b"", encode(HELLO), to_here)
        to_there: Any = FakeReference(there, FakeBroker(), reactor)
        here.start(to_there.broker, to_there)
        api.joined(here, decode(welcome, ApiWelcome))
        self.addCleanup(here.stop)
        self.addCleanup(broker.loseConnection)
        return _Following(api, self.controller)

    def _mark(self: Any, text: str) -> Any:
        mark = self.store.temporary_file()
        mark.abandon()  # the tests count files
        return "mark", mark

    def uploads_under_way(self: Any) -> int:
        return int(self.admission.in_flight > 0)


class _Following:
    """The tests change the limits of the controller while it runs; a real one never does."""

    def __init__(self, api: RemoteController, controller: Any) -> None:
        self._api, self._controller = api, controller

    def __getattr__(self, name: str) -> Any:
        self._api.max_pixels = self._controller.max_pixels
        self._api._admission.max_upload = self._controller.max_upload
        return getattr(self._api, name)
