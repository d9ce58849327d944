"""What crosses the link comes out as it went in, whatever type of the model it is."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from twisted.trial.unittest import SynchronousTestCase
from zope.interface.interface import Method

from dpip.errors import DpipError, NotFound, RetryLater, StaleLease, TooManyRequests
from dpip.interfaces import IController
from dpip.link.api_messages import CALLS, error_of, plain, plain_error, valued
from dpip.model import (
    Activity,
    CommitReceipt,
    Delivery,
    Eta,
    Failure,
    GpuLoad,
    IdempotencyKey,
    Image,
    ImageType,
    Lease,
    LeasedJob,
    Load,
    Metric,
    NewcomersToken,
    Numbering,
    PlaceOrder,
    PlaceSelection,
    Preset,
    Principal,
    Progress,
    Reason,
    RequestTimes,
    Results,
    Role,
    Sample,
    Selection,
    StoredFile,
    StoredPicture,
    Thumbnail,
    Token,
    TokenRecord,
    Update,
    Updates,
    User,
    Webhook,
    WebhookState,
    WorkerInfo,
    WorkerJob,
    WorkerRecord,
    WorkerState,
    Workload,
    WorkloadSpec,
    WorkloadStatus,
)

FILE = StoredFile("w/originals/a.jpg", 5, "00", StoredPicture("JPEG", "image/jpeg", 4, 3, 36), None)
IMAGE = Image("i", "w", ImageType.ORIGINAL, 5, FILE, 1.5)
LOAD = Load(1.0, 2, 3, gpus=(GpuLoad("g", 1.0, 2, 3),), running=(1, 2))
INFO = WorkerInfo("n", "1", "m", 1, 2, frozenset({"b", "a"}), {"x": "1"}, False, "fp")
SPEC = WorkloadSpec("é\n😀", (("blur", {"sigma": 1.0}),), ("t",), {"format": None}, Numbering.FRAMES)
VALUES: list[tuple[Any, Any]] = [
    (IMAGE, Image),
    ((("i", FILE),), Sequence[tuple[str, StoredFile]]),
    (LeasedJob(Lease(2**40, 2, "n"), "w", IMAGE, "r", (("blur", {"sigma": 1.0}),), {}), LeasedJob),
    (((WorkerRecord(INFO, "a", 1.0, 2.0, True, 1, 2), None),), Sequence[tuple[WorkerRecord, Load | None]]),
    (LOAD, Load | None),
    (NewcomersToken("t", 1.0, None), NewcomersToken),
    (None, float | None),
    (Sample(1.0, LOAD), Sample),
    (Progress(Workload("i", "o", SPEC, "d", 1.0, 3), 1, Eta(1.0, 2.0, 3.0)), Progress),
    (Progress(Workload("i", "o", SPEC, "d", 1.0, finished_at=2.5)), Progress),
    (SPEC, WorkloadSpec),
    (Webhook("http://x", "s"), Webhook | None),
    (None, Webhook | None),
    (WebhookState("u", True, None, (Delivery(1.0, 1, None, "e"), Delivery(2.0, 2, 200))), WebhookState),
    (Selection((WorkloadStatus.RUNNING,), "x"), Selection),
    ((Progress(Workload("i", "o", SPEC, "d", 1.0, retried=2, sealed=True)), 3), tuple[Progress, int]),
    ((TokenRecord("i", "o", None, 1.0, 2.0), Token("s", "o", 2.0)), tuple[TokenRecord, Token]),
    (("a", "b"), Sequence[str] | None),
    (None, Sequence[str] | None),
    (IdempotencyKey("o", "k", "f"), IdempotencyKey | None),
    (None, IdempotencyKey | None),
    (Results(((1, "a"),), (Failure(1, "i", None, "c", "d"),)), Results),
    (((1, Activity(1.0, "a", "b", "c", {"x": [1]})),), Sequence[tuple[int, Activity]]),
    ((Reason("why", 1, 2, "w"), Reason("why", 5)), Sequence[Reason]),
    ((User("u", Role.ADMIN, 1.0, None, 5),), Sequence[User]),
    (Token("s", "u", 1.0), Token),
    (Principal("w", Role.WORKER, "session"), Principal),
    (ImageType.FILTERED, ImageType | None),
    (None, ImageType | None),
    (None, int | None),
    ((Metric("m", "gauge", "h", (("", {"state": "x"}, 1.0),)),), Sequence[Metric]),
    (Thumbnail(IMAGE, bytes(range(256))), Thumbnail),
    (
        Updates("e-2", (Update("e-1", deleted="w"), Update("e-2", worker=WorkerState("w", True, LOAD)))),
        Updates,
    ),
    (Updates("e-0", (Update("", Progress(Workload("i", "o", SPEC, "d", 1.0))),), snapshot=True), Updates),
    ((1, 2), Sequence[int]),
    (Preset("web", SPEC, 1.0), Preset),
    ((Preset("web", SPEC, 1.0),), Sequence[Preset]),
    ((WorkerJob("w", 3, None, (("blur", {"sigma": 1.0}),), True),), Sequence[WorkerJob]),
    (PlaceSelection("a", True, PlaceOrder.NAME, True), PlaceSelection),
    ((RequestTimes("GET", "/images", "2xx", (1, 0, 2), 0.5),), Sequence[RequestTimes]),
    ((Lease(1, 2, "n"),), Sequence[Lease]),
    ((None, IMAGE), Sequence[Image | None]),
    ((None, LeasedJob(Lease(1, 2, "n"), "w", IMAGE, "r", (), {})), Sequence[LeasedJob | None]),
    (((Lease(1, 2, "n"), FILE),), Sequence[tuple[Lease, StoredFile]]),
    ((CommitReceipt(IMAGE), CommitReceipt(None, "c", "d", {"x": 1}, 5)), Sequence[CommitReceipt]),
    ((), Sequence[str]),
]


class ValueTests(SynchronousTestCase):
    def test_there_and_back(self) -> None:
        for value, kind in VALUES:
            with self.subTest(kind=kind):
                self.assertEqual(valued(json.loads(json.dumps(plain(value, kind))), kind), value)

    def test_every_type_that_a_call_uses_is_tried_here(self) -> None:
        tried = {kind for _, kind in VALUES} | {
            str,
            int,
            bool,
            float,
            Role,
            bool | None,
            str | None,
            None,
            Workload,
        }
        tried |= {
            bool | None,
            Sequence[Image],
            Sequence[Progress],
            Sequence[Sample],
            Sequence[TokenRecord],
            TokenRecord,
            ImageType,
            Lease,
            StoredFile,
            User,
            Webhook,
            WebhookState,
        }
        used = {kind for call in CALLS.values() for kind in (*call.arguments, call.result)}
        self.assertEqual(used - tried, set())


class CallTests(SynchronousTestCase):
    def test_every_method_that_waits_can_be_asked_over_the_link_with_all_its_arguments(self) -> None:
        here = {"admit_upload"}  # each process admits for itself
        methods = {
            name: method for name, method in IController.namesAndDescriptions() if isinstance(method, Method)
        }
        self.assertEqual(set(methods) - here, set(CALLS))
        for name, call in CALLS.items():
            self.assertEqual(len(methods[name].positional), len(call.arguments), name)

    def test_types_are_those_of_the_interface(self) -> None:
        call = CALLS["add_user"]
        self.assertEqual(call.arguments, (Principal, str, str, Role, int | None))
        self.assertEqual((call.result, CALLS["logout"].result), (User, None))


class ErrorTests(SynchronousTestCase):
    def test_each_kind_is_itself_again(self) -> None:
        for error in (NotFound("a", x=1), StaleLease("b"), RetryLater("c", 7), TooManyRequests("d", 60)):
            again = error_of(*json.loads(json.dumps(plain_error(error))))
            self.assertIs(type(again), type(error))
            self.assertEqual((again.detail, again.members), (error.detail, error.members))
            self.assertEqual(getattr(again, "retry_after", None), getattr(error, "retry_after", None))

    def test_one_that_this_side_does_not_know_keeps_its_words(self) -> None:
        again = error_of("brand-new", "Something.", {}, 0)
        self.assertEqual((type(again), again.detail), (DpipError, "Something."))
