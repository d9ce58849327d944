"""Uploads read from disk and downloads written to it, checked."""

from __future__ import annotations

import os
from hashlib import sha256
from typing import Any

from twisted.internet.defer import CancelledError, Deferred

from dpip.client import ApiError, Damaged, Unreachable
from tests.client.server import (
    Seen,
    StandInTestCase,
    answer,
    hang_up,
    problem,
    say_nothing,
    stop_in_the_middle,
    temporary_folder,
)

IMAGE = {"image_id": "i1", "workload_id": "w1", "type": "original", "seq": 0, "name": "a.png"}


def etag(data: bytes) -> dict[str, str]:
    return {"ETag": f'"{sha256(data).hexdigest()}"'}


class UploadTests(StandInTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.path = temporary_folder(self) / "größe 😀.png"
        self.data = os.urandom(300_000)
        self.path.write_bytes(self.data)

    def assert_carries(self, seen: Seen, name: str, data: bytes) -> None:
        boundary = seen.headers["content-type"].partition("boundary=")[2].encode()
        parts = seen.body.split(b"--" + boundary)
        self.assertEqual(len(parts), 4)
        self.assertIn(b'name="workload_id"\r\n\r\nw1\r\n', parts[1])
        self.assertIn(f'name="data"; filename="{name}"'.encode(), parts[2])
        self.assertTrue(parts[2].endswith(b"\r\n\r\n" + data + b"\r\n"))

    async def test_a_file_and_bytes(self) -> None:
        self.say(answer(IMAGE, 201), answer(IMAGE, 201))
        image = await self.client.upload("w1", self.path)
        await self.client.upload("w1", b"bytes", name="b.png")
        self.assertEqual((image.image_id, image.seq, image.name), ("i1", 0, "a.png"))
        self.assert_carries(self.seen[0], "größe 😀.png", self.data)
        self.assert_carries(self.seen[1], "b.png", b"bytes")

    async def test_every_try_sends_the_whole_file_under_the_same_key(self) -> None:
        self.say(hang_up, problem(503), answer(IMAGE, 201))
        await self.client.upload("w1", str(self.path))
        self.assertEqual(len(self.seen), 3)
        self.assertEqual(len({request.headers["idempotency-key"] for request in self.seen}), 1)
        for request in self.seen:
            self.assert_carries(request, "größe 😀.png", self.data)

    async def test_a_key_of_ones_own(self) -> None:
        self.say(answer(IMAGE, 201))
        await self.client.upload("w1", b"x", key="my key")
        self.assertEqual(self.seen[0].headers["idempotency-key"], "my key")

    async def test_a_missing_file_is_said_at_once(self) -> None:
        error = await self.refusal(FileNotFoundError, self.client.upload("w1", "no/such.png"))
        self.assertIn("no/such.png", str(error))
        self.assertEqual((self.seen, self.clock.getDelayedCalls()), ([], []))

    async def test_what_cannot_be_read_is_said_and_not_tried_again(self) -> None:
        await self.refusal(IsADirectoryError, self.client.upload("w1", self.path.parent))
        self.assertEqual((self.seen, self.clock.getDelayedCalls()), ([], []))

    def images(self, *numbers: int) -> list[dict[str, Any]]:
        return [{**IMAGE, "image_id": f"i{n}", "seq": n} for n in numbers]

    async def test_many_small_ones_share_a_request(self) -> None:
        self.say(answer(self.images(0, 1, 2, 3, 4), 201))
        told: list[str] = []
        files: list[Any] = [self.path, *((f"{n}.png", b"x%d" % n) for n in range(4))]
        images = await self.client.upload_many("w1", files, lambda image: told.append(image.image_id))
        self.assertEqual([image.image_id for image in images], ["i0", "i1", "i2", "i3", "i4"])
        self.assertEqual(told, ["i0", "i1", "i2", "i3", "i4"])
        [request] = self.seen
        self.assertLess(request.body.index(self.data), request.body.index(b"x0"))
        self.assertEqual(request.body.count(b'name="data"'), 5)
        self.assertEqual(request.body.count(b'name="workload_id"'), 1)
        self.assertEqual(int(request.headers["content-length"]), len(request.body))

    async def test_no_more_than_eight_and_a_mebibyte_do(self) -> None:
        sizes = [1] * 9 + [2**20, 1, 2**20 - 1, 1, 2**21]
        self.say(answer(self.images(*range(8)), 201), answer(self.images(8)[0], 201))
        self.say(answer(self.images(9)[0], 201), answer(self.images(10, 11), 201))
        self.say(answer(self.images(12)[0], 201), answer(self.images(13)[0], 201))
        self.client.connections = 1
        images = await self.client.upload_many("w1", [("a.png", bytes(size)) for size in sizes])
        self.assertEqual([image.seq for image in images], list(range(14)))
        self.assertEqual([request.body.count(b"filename") for request in self.seen], [8, 1, 1, 2, 1, 1])

    async def test_when_one_of_some_is_refused_the_others_are_not(self) -> None:
        self.say(problem(415, "not-an-image", "1.png is none."))
        self.say(answer(self.images(0)[0], 201), problem(415, "not-an-image", "1.png is none."))
        files = [("0.png", b"0"), ("1.png", b"1"), ("2.png", b"2")]
        told: list[int] = []
        error = await self.refusal(
            ApiError, self.client.upload_many("w1", files, lambda image: told.append(image.seq))
        )
        self.assertEqual((str(error), told), ("1.png is none.", [0]))
        self.assertEqual([request.body.count(b"filename") for request in self.seen], [3, 1, 1])

    async def test_of_many_the_first_refusal_ends_it(self) -> None:
        self.say(*[problem(404, "not-found", "Gone.")] * 4)
        files = [(f"{n}.png", b"x") for n in range(100)]
        error = await self.refusal(ApiError, self.client.upload_many("w1", files))
        self.assertEqual(str(error), "Gone.")
        self.assertLessEqual(len(self.seen), 4)


class DownloadTests(StandInTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.folder = temporary_folder(self)
        self.to = self.folder / "i1.png"
        self.data = os.urandom(300_000)

    def assert_only(self, *names: str) -> None:
        self.assertEqual(sorted(os.listdir(self.folder)), sorted(names))

    async def test_to_memory(self) -> None:
        self.say(answer(body=self.data, headers=etag(self.data)), answer(body=b""))
        self.assertEqual(await self.client.download("i1"), self.data)
        self.assertEqual(await self.client.download("i2"), b"")
        self.assertEqual(self.seen[0].uri, "/images/i1")

    async def test_a_place_in_a_workload(self) -> None:
        self.say(answer(body=b"x"))
        await self.client.download("0", workload_id="w1", type="original")
        self.assertEqual(self.seen[0].uri, "/images/0?workload_id=w1&type=original")

    async def test_to_a_file_that_is_replaced_when_all_is_there(self) -> None:
        self.to.write_bytes(b"old")
        self.say(stop_in_the_middle(self.data), problem(503), answer(body=self.data, headers=etag(self.data)))
        self.assertIsNone(await self.client.download("i1", to=self.to))
        self.assertEqual(self.to.read_bytes(), self.data)
        self.assert_only("i1.png")

    async def test_a_wrong_hash_leaves_nothing(self) -> None:
        self.say(answer(body=self.data, headers=etag(b"other")))
        error = await self.refusal(Damaged, self.client.download("i1", to=self.to))
        self.assertIn("Image i1", str(error))
        self.assert_only()

    async def test_an_error_leaves_nothing_and_is_not_written_to_the_file(self) -> None:
        self.say(problem(404, "not-found", "There is no image 'i1'."))
        error = await self.refusal(ApiError, self.client.download("i1", to=self.to))
        self.assertEqual(str(error), "There is no image 'i1'.")
        self.assert_only()

    async def test_a_place_that_cannot_be_written(self) -> None:
        self.say(answer(body=self.data))
        await self.refusal(OSError, self.client.download("i1", to=self.folder / "no" / "folder.png"))

    async def test_a_full_disk_ends_it(self) -> None:
        if not os.path.exists("/dev/full"):
            self.skipTest("this system has no /dev/full")
        (self.folder / f".i1.png.{os.getpid()}.part").symlink_to("/dev/full")
        self.say(answer(body=self.data))
        await self.refusal(OSError, self.client.download("i1", to=self.to))
        self.assertEqual(len(self.seen), 1)
        self.assert_only()

    async def test_a_download_that_stops_moving_is_tried_again(self) -> None:
        def half(request: object) -> int:
            request.setHeader("Content-Length", str(len(self.data)))  # type: ignore[attr-defined]
            request.write(self.data[:1000])  # type: ignore[attr-defined]
            return say_nothing(request)  # type: ignore[arg-type]

        self.say(half, answer(body=self.data))
        arrived = self.stand_in.arrived
        getting = Deferred.fromCoroutine(self.client.download("i1"))
        await arrived
        self.clock.advance(60)
        self.assertEqual(await getting, self.data)

    async def test_giving_up_leaves_nothing(self) -> None:
        self.say(say_nothing)
        arrived = self.stand_in.arrived
        getting = Deferred.fromCoroutine(self.client.download("i1", to=self.to))
        await arrived
        getting.cancel()
        await self.refusal(CancelledError, getting)
        self.assert_only()

    async def test_many(self) -> None:
        self.say(*[answer(body=b"x")] * 6)
        told: list[str] = []
        await self.client.download_many(((f"i{n}", self.folder / f"{n}") for n in range(6)), told.append)
        self.assertEqual(sorted(told), [f"i{n}" for n in range(6)])
        self.assert_only(*map(str, range(6)))

    async def test_patience_ends(self) -> None:
        self.say(*[stop_in_the_middle(b"x")] * 50)
        error = await self.refusal(Unreachable, self.client.download("i1", to=self.to))
        self.assertIn("closed", str(error))
        self.assert_only()
