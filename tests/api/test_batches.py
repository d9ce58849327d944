"""/images/batch: several results of a worker in one request, several images in one answer."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from attrs import evolve

from dpip.errors import NotAnImage, StaleLease, WrongHash
from dpip.http.batch import CONTENT_TYPE, MAX_BODY, MAX_ITEMS, ArrivingBatch, list_head
from dpip.link.worker_messages import ResultFile, ResultFiles, encode
from dpip.model import Lease, LeasedJob
from tests.api.client import Response, request_bytes
from tests.api.fixture import ApiTest, noise, picture

Sent = tuple[ResultFile, bytes]


def result(lease: Lease, data: bytes, *notices: str) -> Sent:
    return ResultFile(lease, len(data), hashlib.sha256(data).hexdigest(), notices), data


def body_of(*results: Sent) -> bytes:
    message = encode(ResultFiles(tuple(one for one, _ in results)))
    return list_head(message) + b"".join(data for _, data in results)


class ResultBatchTests(ApiTest):
    async def leased(self, count: int) -> list[LeasedJob]:
        """Jobs of a new workload, held by a worker."""
        self.workload = self.stored_workload(*[picture(shade=shade) for shade in range(count)])
        self.token = self.controller.join_worker("w")
        jobs = [self.controller.lease("w") for _ in range(count)]
        return [job for job in jobs if job is not None]

    async def send(self, *results: Sent, token: str | None = None) -> Response:
        body = body_of(*results)
        headers = {"Content-Type": CONTENT_TYPE}
        return await self.request("POST", "/images/batch", token or self.token, body, headers)

    async def codes(self, *results: Sent) -> list[str]:
        response = await self.send(*results)
        self.assertEqual(response.status, 200, response.body)
        return [receipt["code"] for receipt in response.json()["receipts"]]

    async def shown(self) -> tuple[str, int]:
        shown = (await self.get(f"/workloads/{self.workload}", self.user)).json()
        return shown["status"], len(shown["filtered_images"])

    async def test_all_are_done_when_it_is_answered(self) -> None:
        jobs = await self.leased(3)
        sent = [result(job.lease, picture(shade=100 + place)) for place, job in enumerate(jobs)]
        self.assertEqual(await self.codes(*sent), ["", "", ""])
        self.assertEqual(await self.shown(), ("completed", 3))
        for (_, data), job in zip(sent, jobs, strict=True):
            self.assertEqual((await self.get(f"/images/{job.result_id}", self.user)).body, data)
        self.assert_nothing_left()

    async def test_one_that_is_wrong_leaves_its_neighbours_alone(self) -> None:
        jobs = await self.leased(5)
        stale, lie, none = (jobs[place].lease for place in (1, 2, 3))
        self.controller.requeue(stale)
        lying = result(lie, picture(shade=7))
        sent = [
            result(jobs[0].lease, picture(shade=1)),
            result(stale, picture(shade=2)),
            (evolve(lying[0], sha256="0" * 64), lying[1]),
            result(none, b"no picture"),
            result(jobs[4].lease, picture(shade=4)),
        ]
        expected = ["", StaleLease.code, WrongHash.code, NotAnImage.code, ""]
        self.assertEqual(await self.codes(*sent), expected)
        self.assertEqual(await self.shown(), ("running", 2))
        self.assertEqual([facts[1] for facts in self.calls("accuse")], [lie])
        self.assert_nothing_left()

    async def test_each_lie_is_an_offence_of_its_own(self) -> None:
        jobs = await self.leased(3)
        sent = [result(job.lease, picture(shade=place)) for place, job in enumerate(jobs)]
        lies = [(evolve(one, sha256="0" * 64), data) for one, data in sent]
        self.assertEqual(await self.codes(*lies), [WrongHash.code] * 3)
        self.assertEqual([facts[1] for facts in self.calls("accuse")], [job.lease for job in jobs])

    async def test_notices_belong_to_their_result(self) -> None:
        jobs = await self.leased(2)
        sent = [result(jobs[0].lease, picture()), result(jobs[1].lease, picture(), "No\nsound.")]
        self.assertEqual(await self.codes(*sent), ["", ""])
        listed = (await self.get(f"/images?workload_id={self.workload}", self.user)).json()
        self.assertEqual([one.get("notices", []) for one in listed], [[], ["No sound."]])

    async def test_it_is_one_question_each(self) -> None:
        jobs = await self.leased(4)
        await self.codes(*[result(job.lease, picture()) for job in jobs])
        for method in ("check_leases", "commit_results"):
            self.assertEqual(len(self.calls(method)), 1, method)

    async def test_a_lease_that_is_lost_while_the_files_are_stored(self) -> None:
        jobs = await self.leased(2)
        keep = self.store.keep_many

        def lose_then_keep(*arguments):  # type: ignore[no-untyped-def]
            self.controller.requeue(jobs[0].lease)
            return keep(*arguments)

        self.store.keep_many = lose_then_keep
        sent = [result(job.lease, picture()) for job in jobs]
        self.assertEqual(await self.codes(*sent), [StaleLease.code, ""])
        self.assert_nothing_left()

    async def test_what_is_no_batch_is_refused_as_a_whole(self) -> None:
        [job] = await self.leased(1)
        whole = body_of(result(job.lease, picture()))
        many = body_of(*[result(job.lease, picture())] * (MAX_ITEMS + 1))
        for body in (b"abc", b"\0\0\0\5nojso", whole[:-1], whole + b"x", many, list_head(b'{"results": 1}')):
            response = await self.request(
                "POST", "/images/batch", self.token, body, {"Content-Type": CONTENT_TYPE}
            )
            self.assert_problem(response, 400, "malformed-request")
        response = await self.request("POST", "/images/batch", self.token, whole, {"Content-Type": "text/x"})
        self.assert_problem(response, 415, "unsupported-media-type")
        large = await self.request(
            "POST", "/images/batch", self.token, bytes(MAX_BODY + 1), {"Content-Type": CONTENT_TYPE}
        )
        self.assert_problem(large, 413, "too-large")
        self.assert_nothing_left()

    async def test_a_worker_whose_link_ends_while_the_body_comes_is_nobody_any_more(self) -> None:
        [job] = await self.leased(1)
        body = body_of(result(job.lease, picture()))
        headers = {
            "Authorization": f"Bearer {self.token}",
            "Content-Type": CONTENT_TYPE,
            "Content-Length": str(len(body)),
        }
        connection = await self.connect()
        connection.send(request_bytes("POST", "/images/batch", headers) + body[:-1])
        while not any(request.principal for request in self.channels[-1].requests):
            await self.turn()
        self.controller.release_worker("w")
        connection.send(body[-1:])
        self.assert_problem(await connection.response(), 401, "not-logged-in")
        self.assert_nothing_left()

    async def test_users_send_none(self) -> None:
        [job] = await self.leased(1)
        response = await self.send(result(job.lease, picture()), token=self.user)
        self.assert_problem(response, 403, "forbidden")


class DownloadBatchTests(ApiTest):
    async def got(self, token: str, ids: Sequence[str]) -> list[tuple[int, bytes | None]]:
        response = await self.get(f"/images/batch?ids={','.join(ids)}", token)
        self.assertEqual((response.status, response.headers["content-type"]), (200, CONTENT_TYPE))
        arriving = ArrivingBatch()
        arriving.write(response.body)
        found = arriving.pictures(len(ids))
        for entry, data in found:
            if data is not None:
                self.assertEqual(entry["sha256"], hashlib.sha256(data).hexdigest())
        return [(entry["status"], data) for entry, data in found]

    def originals(self, workload_id: str) -> list[str]:
        jobs = [self.controller.lease("w") for _ in range(2)]
        return [job.original.id for job in jobs if job is not None]

    async def test_each_has_a_status_of_its_own(self) -> None:
        pictures = [picture(shade=1), picture(shade=2)]
        token = self.controller.join_worker("w")
        first, second = self.originals(self.stored_workload(*pictures))
        expected = [(200, pictures[1]), (404, None), (200, pictures[0])]
        for asking in (token, self.user, self.admin):
            self.assertEqual(await self.got(asking, [second, "never-was", first]), expected)

    async def test_a_file_that_is_gone_leaves_the_others(self) -> None:
        self.controller.join_worker("w")
        workload = self.stored_workload(picture(shade=1), picture(shade=2))
        first, second = self.originals(workload)
        shown = self.successResultOf(
            self.controller.image(
                self.successResultOf(self.controller.authenticate(self.user)), first, None, None
            )
        )
        self.successResultOf(self.store.discard(shown.file.path))
        self.assertEqual(await self.got(self.user, [first, second]), [(404, None), (200, picture(shade=2))])

    async def test_nobody_gets_anothers(self) -> None:
        self.controller.join_worker("w")
        ids = self.originals(self.stored_workload(picture(), picture()))
        self.new_user("bob")
        bob, thief = self.token_of("bob", "password-of-bob"), self.controller.join_worker("thief")
        for asking in (bob, thief):
            self.assertEqual(await self.got(asking, ids), [(404, None)] * 2)

    async def test_what_has_no_room_is_to_be_asked_for_alone(self) -> None:
        self.controller.join_worker("w")
        large, small = noise(1_500_000), picture()
        ids = self.originals(self.stored_workload(large, small))
        first, second = ids
        found = await self.got(self.user, [first, first, second])
        self.assertEqual([status for status, _ in found], [200, 413, 200])

    async def test_too_many_and_none(self) -> None:
        for ids in ("", ",".join("x" * (MAX_ITEMS + 1))):
            response = await self.get(f"/images/batch?ids={ids}", self.user)
            self.assert_problem(response, 422, "bad-parameter")

    async def test_it_is_one_question(self) -> None:
        await self.got(self.user, ["a", "b", "c"])
        self.assertEqual(len(self.calls("find_images")), 1)
