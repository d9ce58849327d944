"""Messages between controller and worker: there and back unchanged, and nothing else gets through."""

from __future__ import annotations

import json
from typing import Any

from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from dpip.errors import Malformed
from dpip.link import worker_messages as wire
from dpip.model import (
    GpuLoad,
    Image,
    ImageType,
    Lease,
    LeasedJob,
    Load,
    Outcome,
    StoredFile,
    StoredPicture,
)

text = st.text(max_size=40)
words = st.from_regex(r"[\w.@+-]{1,20}", fullmatch=True)
sizes = st.integers(0, 2**50)
percents = st.floats(0, 100)
params = st.dictionaries(text, st.none() | st.booleans() | st.integers() | text | percents, max_size=3)
leases = st.builds(Lease, st.integers(0, 2**62), st.integers(0, 2**31), text)
pictures = st.builds(StoredPicture, words, text, sizes, sizes, sizes)
files = st.builds(StoredFile, text, sizes, text, pictures, st.none() | text)
images = st.builds(Image, text, text, st.sampled_from(ImageType), sizes, files, percents)
steps = st.lists(st.tuples(words, params), min_size=1, max_size=3).map(tuple)
jobs = st.builds(LeasedJob, leases, text, images, text, steps, params)
gpus = st.lists(st.builds(GpuLoad, text, percents, sizes, sizes), max_size=2).map(tuple)
running = st.lists(st.integers(0, 2**62), max_size=3).map(tuple)
loads = st.builds(Load, percents, sizes, st.just(0), percents, sizes, gpus, running, sizes, percents).flatmap(
    lambda load: st.integers(0, load.memory_total).map(
        lambda available: evolve(load, memory_available=available)
    )
)
endings = st.builds(wire.AttemptEnding, leases, st.sampled_from(Outcome), st.floats(0, 1e6), words, text)
hellos = st.builds(
    wire.WorkerHello,
    words, text, text, st.integers(1, 1024), st.integers(1, 8192), st.lists(words, max_size=3).map(tuple),
    st.dictionaries(words, text, max_size=3), st.booleans(), text, st.integers(0, 9),
)  # fmt: skip
welcomes = st.builds(
    wire.WorkerWelcome,
    text,
    text,
    st.none() | text,
    st.floats(0.1, 9),
    st.floats(1, 9),
    st.integers(1, 2**40),
)
results = st.builds(
    wire.ResultFile, leases, st.integers(1, 2**40), st.from_regex("[0-9a-f]{64}", fullmatch=True)
)
messages = st.one_of(
    hellos,
    welcomes,
    st.builds(wire.WorkerRefusal, st.sampled_from(["bad-token", "version"]), text, st.booleans()),
    st.builds(wire.Report, loads),
    st.lists(jobs, max_size=3).map(lambda some: wire.Jobs(tuple(some))),
    st.lists(leases, max_size=3).map(lambda some: wire.Leases(tuple(some))),
    st.lists(endings, max_size=3).map(lambda some: wire.AttemptEndings(tuple(some))),
    st.lists(results, max_size=3).map(lambda some: wire.ResultFiles(tuple(some))),
    st.lists(st.builds(wire.Receipt, words, text), max_size=3).map(lambda some: wire.Receipts(tuple(some))),
)


class RoundTripTests(SynchronousTestCase):
    @given(messages)
    @settings(deadline=None)
    def test_there_and_back(self, message: Any) -> None:
        self.assertEqual(wire.decode(wire.encode(message), type(message)), message)

    @given(jobs)
    @settings(deadline=None, max_examples=20)
    def test_enums_come_back_as_enums(self, job: LeasedJob) -> None:
        (back,) = wire.decode(wire.encode(wire.Jobs((job,))), wire.Jobs).jobs
        self.assertIs(back.original.type, job.original.type)

    def test_a_newer_peer_may_say_more(self) -> None:
        data = json.loads(wire.encode(wire.Leases((Lease(1, 2, "n"),)))) | {"more": 1}
        self.assertEqual(wire.decode(json.dumps(data).encode(), wire.Leases).leases, (Lease(1, 2, "n"),))


class RefusalTests(SynchronousTestCase):
    def refused(self, data: Any, kind: type) -> str:
        return self.assertRaises(Malformed, wire.decode, data, kind).detail

    @given(st.binary(max_size=200))
    @settings(deadline=None)
    def test_noise(self, data: bytes) -> None:
        for kind in (wire.WorkerHello, wire.Jobs, wire.AttemptEndings, wire.Report):
            self.refused(data, kind)

    @given(
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | text,
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
            max_leaves=6,
        )
    )
    @settings(deadline=None)
    def test_json_of_another_shape(self, value: Any) -> None:
        for kind in (wire.WorkerHello, wire.Jobs, wire.AttemptEndings, wire.Report):
            self.refused(json.dumps(value).encode(), kind)

    @given(hellos)
    @settings(deadline=None, max_examples=10)
    def test_one_field_of_another_type(self, hello: wire.WorkerHello) -> None:
        fields = json.loads(wire.encode(hello))
        for name, before in fields.items():
            for wrong in (None, [[1]], {"a": 1}, -1, 2.5, "a\nb" * 600, "abc"):
                fits = (wrong == "abc" and isinstance(before, str)) or (wrong == -1 and name == "protocol")
                if not fits:
                    self.refused(json.dumps(fields | {name: wrong}).encode(), wire.WorkerHello)

    def test_what_is_not_bytes(self) -> None:
        for value in (None, "text", 1, [], object()):
            self.refused(value, wire.Jobs)

    def test_nesting_without_end(self) -> None:
        self.refused(b"[" * 100_000, wire.Jobs)
        self.refused(b'{"a":' * 20_000, wire.Report)

    def test_booleans_are_no_numbers_and_numbers_no_words(self) -> None:
        good = json.loads(wire.encode(wire.Leases((Lease(1, 2, "n"),))))
        for field, value in (("job", True), ("job", "1"), ("job", 1.0), ("nonce", 5)):
            bad = {"leases": [good["leases"][0] | {field: value}]}
            self.refused(json.dumps(bad).encode(), wire.Leases)

    def test_numbers_that_are_none(self) -> None:
        for value in ("NaN", "Infinity", "-Infinity", "1e999"):
            data = b'{"endings":[{"lease":{"job":1,"attempt":1,"nonce":"n"},"outcome":"done","seconds":%s}]}'
            self.refused(data % value.encode(), wire.AttemptEndings)

    def test_the_reason_does_not_repeat_much_of_what_was_sent(self) -> None:
        reason = self.refused(json.dumps({"leases": ["x" * 5000]}).encode(), wire.Leases)
        self.assertLess(len(reason), 300)

    def test_larger_than_its_kind_may_be(self) -> None:
        for kind, most in ((wire.WorkerHello, wire.MAX_HELLO), (wire.AttemptEndings, wire.MAX_REPORT)):
            self.assertIn(str(most), self.refused(b" " * (most + 1), kind))


class BatchTests(SynchronousTestCase):
    def ending(self, number: int, detail: str) -> wire.AttemptEnding:
        return wire.AttemptEnding(Lease(number, 1, "n"), Outcome.FAILED, 0.0, "code", detail)

    def together(self, data: list[bytes]) -> list[wire.AttemptEnding]:
        return [end for message in data for end in wire.decode(message, wire.AttemptEndings).endings]

    def test_nothing_needs_no_message(self) -> None:
        self.assertEqual(wire.batches([], wire.Jobs), [])

    def test_few_go_together_and_many_in_order(self) -> None:
        few = [self.ending(number, "") for number in range(10)]
        self.assertEqual(len(wire.batches(few, wire.AttemptEndings)), 1)
        many = [self.ending(number, "") for number in range(3 * wire.BATCH + 1)]
        self.assertEqual(self.together(wire.batches(many, wire.AttemptEndings)), many)

    def test_large_ones_are_spread(self) -> None:
        large = [self.ending(number, "\0" * 1000) for number in range(100)]
        messages = wire.batches(large, wire.AttemptEndings)
        self.assertGreater(len(messages), 4)
        self.assertEqual(self.together(messages), large)

    def test_one_that_fits_no_message_is_an_error(self) -> None:
        picture = StoredPicture("PNG", "image/png", 1, 1, 3)
        image = Image("i", "w", ImageType.ORIGINAL, 0, StoredFile("p", 1, "s", picture), 0.0)
        job = LeasedJob(Lease(1, 1, "n"), "w", image, "r", (("f", {"p": "x" * wire.MAX_MESSAGE}),), {})
        self.assertRaises(Malformed, wire.batches, [job], wire.Jobs)


class ProtocolTests(SynchronousTestCase):
    def test_of_a_hello_of_any_version(self) -> None:
        self.assertEqual(wire.protocol_of(b'{"protocol": 7, "name": 1, "new": {}}'), 7)

    def test_of_what_is_none(self) -> None:
        for data in (
            b"",
            b"[]",
            b"7",
            b"{}",
            b'{"protocol": "1"}',
            b'{"protocol": true}',
            b"\xff",
            None,
            b"[" * 9999,
        ):
            self.assertIsNone(wire.protocol_of(data))
