"""The controller as an API process sees it: whatever the interface has can be asked, with no further code."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FunctionType
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer, taggedValue
from zope.interface.verify import verifyObject

from dpip.api_process.remote_controller import RemoteController, forwarding
from dpip.controller.api_processes import ApiProcesses, ApiTerms
from dpip.errors import NotFound, RetryLater
from dpip.interfaces import IController
from dpip.link.api_messages import PROTOCOL, ApiHello, ApiWelcome, calls_of
from dpip.link.codec import decode, encode
from dpip.link.exchange import Exchange
from dpip.model import Principal, Progress, Role, Selection, WorkloadSpec, WorkloadStatus
from dpip.runtime.coroutines import deferred
from dpip.runtime.ids import IdSource
from dpip.store.admission import AdmissionControl, RetryAfterQueue
from dpip.testing.controller import MemoryController
from dpip.testing.store import inline_image_store
from tests.link.links import FakeBroker, FakeReference

ADMIN = Principal("admin", Role.ADMIN)
SPEC = WorkloadSpec("w", (("blur", {}),))


class ILargerController(IController):
    """One method more, written as those of ``IController`` are."""

    def named(
        by: Principal,  # noqa: N805
        words: Sequence[str],
        least: int = 1,
    ) -> Deferred[tuple[Sequence[Progress], int]]:
        """The caller's workloads with such names, and how many words were long enough."""

    taggedValue("functions", [value for value in vars().values() if isinstance(value, FunctionType)])


@implementer(ILargerController)
class LargerController(MemoryController):
    @deferred
    async def named(
        self, by: Principal, words: Sequence[str], least: int = 1
    ) -> tuple[Sequence[Progress], int]:
        found = [one for one in await self.workloads(by) if one.workload.spec.name in words]
        if not found:
            raise NotFound("None has such a name.")
        return found, sum(len(word) >= least for word in words)


@forwarding(ILargerController)
class LargerRemoteController(RemoteController):
    """Without a line of its own."""


class LinkedTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        ids = IdSource()
        store = inline_image_store(Path(self.enterContext(TemporaryDirectory())))
        self.real = LargerController(self.clock.seconds, ids, store)
        admission = AdmissionControl(store, 100, 100, RetryAfterQueue(self.clock.seconds))
        apis = ApiProcesses(
            admit=lambda secret: None,
            controller=self.real,
            put_mark=lambda text: ("mark", store.temporary_file()),
            new_nonce=ids,
            terms=ApiTerms("1", {}, 100, 100, 0, lambda hosts: ""),
            admission=admission,
            clock=self.clock,
            moved=lambda url: None,
            calls=calls_of(ILargerController),
        )
        self.remote: Any = LargerRemoteController(admission, self.clock.seconds)
        here = Exchange(self.clock, self.remote.answer)
        hello = encode(ApiHello(PROTOCOL, "1", {}, (), wants_identity=False, shares_socket=True))
        broker: Any = FakeBroker()
        self.addCleanup(broker.loseConnection)
        to_here: Any = FakeReference(here, broker, self.clock)
        welcome, there = apis.join(broker, b"", hello, to_here)
        to_there: Any = FakeReference(there, FakeBroker(), self.clock)
        here.start(to_there.broker, to_there)
        self.remote.joined(here, decode(welcome, ApiWelcome))

    def asked(self, answer: Deferred[Any]) -> Any:
        for _ in range(4):
            self.clock.advance(0)
        return self.successResultOf(answer)

    def test_it_provides_the_interface(self) -> None:
        self.assertTrue(verifyObject(IController, self.remote))

    def test_a_method_added_to_the_interface_and_the_controller_needs_nothing_more(self) -> None:
        made = self.asked(self.remote.create_workload(ADMIN, SPEC, None))
        found, long_enough = self.asked(self.remote.named(ADMIN, ["w", "word"], least=2))
        self.assertEqual((found, long_enough), ((made,), 1))
        self.assertEqual(self.asked(self.remote.named(ADMIN, words=("w",))), ((made,), 1))

    def test_its_errors_cross_the_link(self) -> None:
        answer = self.remote.named(ADMIN, ["other"])
        for _ in range(4):
            self.clock.advance(0)
        self.failureResultOf(answer, NotFound)

    def test_defaults_and_names_of_arguments_are_those_of_the_interface(self) -> None:
        made = [self.asked(self.remote.create_workload(ADMIN, SPEC, None)) for _ in range(3)]
        self.assertEqual(len(self.asked(self.remote.workloads(ADMIN))), 3)
        self.assertEqual(len(self.asked(self.remote.workloads(ADMIN, limit=2))), 2)
        done = Selection((WorkloadStatus.COMPLETED,))
        self.assertEqual(self.asked(self.remote.workloads(ADMIN, done, made[2].workload.id, 9)), ())

    def test_arguments_that_the_interface_does_not_have_are_refused_at_once(self) -> None:
        with self.assertRaises(TypeError):
            self.remote.workload(ADMIN)
        with self.assertRaises(TypeError):
            self.remote.workload(ADMIN, "w", limit=1)

    def test_without_a_link_everything_is_to_be_tried_again(self) -> None:
        self.remote.left()
        self.failureResultOf(self.remote.named(ADMIN, []), RetryLater)
        self.failureResultOf(self.remote.warnings(), RetryLater)
