"""GET /workers and GET /workers/{name}/history."""

from __future__ import annotations

from dpip.model import GpuLoad, Load, Sample, WorkerInfo, WorkerRecord
from tests.api.fixture import NOW, ApiTest

LOAD = Load(12.5, 8_000, 3_000, 90.0, 500, (GpuLoad("G1", 50.0, 100, 20),), (4, 9), 7_000)


def record(name: str, joined: bool = True) -> WorkerRecord:
    info = WorkerInfo(name, "0.1.0", "m1", 2, 6, frozenset({"gpu", "fast"}), {"blur": "1"}, True, "f")
    return WorkerRecord(info, "127.0.0.1:5", NOW - 60, NOW, joined, done=3, failed=1)


class WorkersTests(ApiTest):
    async def test_every_worker_with_its_newest_load(self) -> None:
        self.controller.worker_records += [(record("w1"), LOAD), (record("w2", joined=False), None)]
        first, second = (await self.get("/workers", self.admin)).json()
        self.assertEqual((first["worker"], first["joined"], first["slots"]), ("w1", True, 2))
        self.assertEqual((first["tags"], first["filters"]), (["fast", "gpu"], {"blur": "1"}))
        self.assertEqual((first["done"], first["failed"]), (3, 1))
        self.assertEqual(first["last_seen"], "2027-01-15T08:00:00.000Z")
        self.assertEqual(first["load"]["cpu_percent"], 12.5)
        self.assertEqual(first["load"]["running_jobs"], 2)
        self.assertEqual(first["load"]["gpus"][0]["memory_used"], 20)
        self.assertEqual((second["joined"], second["load"]), (False, None))

    async def test_the_list_comes_in_pages(self) -> None:
        self.controller.worker_records += [(record(f"w{i}", joined=i % 2 == 0), None) for i in range(5)]
        first = await self.get("/workers?limit=2&state=joined", self.admin)
        self.assertEqual([one["worker"] for one in first.json()], ["w0", "w2"])
        self.assertEqual(first.headers["link"], '</workers?state=joined&after=w2&limit=2>; rel="next"')
        rest = await self.get("/workers?state=joined&after=w2&limit=2", self.admin)
        self.assertEqual([one["worker"] for one in rest.json()], ["w4"])
        self.assertNotIn("link", rest.headers)
        gone = await self.get("/workers?state=gone", self.admin)
        self.assertEqual([one["worker"] for one in gone.json()], ["w1", "w3"])
        self.assert_problem(await self.get("/workers?state=away", self.admin), 422, "bad-parameter")

    async def test_a_joined_worker_is_drained(self) -> None:
        self.controller.worker_records += [(record("w/1"), LOAD), (record("w2", joined=False), None)]
        response = await self.request("POST", "/workers/w%2F1/drain", self.admin)
        self.assertEqual((response.status, response.json()), (202, {"worker": "w/1", "draining": True}))
        for gone in ("w2", "nobody"):
            response = await self.request("POST", f"/workers/{gone}/drain", self.admin)
            self.assert_problem(response, 404, "not-found")

    async def test_what_it_does_now(self) -> None:
        self.controller.worker_records += [(record("w/1"), LOAD)]
        workload_id = await self.new_workload(filter="invert")
        await self.upload(workload_id, name="a.png")
        self.controller.lease("w/1")
        [job] = (await self.get("/workers/w%2F1/jobs", self.admin)).json()
        self.assertEqual((job["workload_id"], job["seq"], job["name"]), (workload_id, 0, "a.png"))
        self.assertEqual((job["filter"], job["computing"]), ("invert", True))
        self.assertEqual((await self.get("/workers/other/jobs", self.admin)).json(), [])
        self.assert_problem(await self.get("/workers/w%2F1/jobs", self.user), 403, "forbidden")

    async def test_one_that_is_gone_can_be_forgotten(self) -> None:
        self.controller.worker_records += [(record("w1"), LOAD), (record("w2", joined=False), None)]
        gone = await self.request("DELETE", "/workers/w2", self.admin)
        self.assertEqual(gone.json(), {"worker": "w2", "deleted": True})
        self.assert_problem(await self.request("DELETE", "/workers/w2", self.admin), 404, "not-found")
        self.assert_problem(await self.request("DELETE", "/workers/w1", self.admin), 409, "conflict")
        self.assert_problem(await self.request("DELETE", "/workers/w1", self.user), 403, "forbidden")

    async def test_a_drained_worker_of_the_service_is_resumed(self) -> None:
        self.controller.drained.add("own")
        response = await self.request("POST", "/workers/own/resume", self.admin)
        self.assertEqual((response.status, response.json()), (202, {"worker": "own", "resuming": True}))
        response = await self.request("POST", "/workers/w2/resume", self.admin)
        self.assert_problem(response, 409, "conflict")

    async def test_history_since_a_time(self) -> None:
        self.controller.samples["w/1"] = [Sample(NOW - 7200, LOAD), Sample(NOW - 60, LOAD), Sample(NOW, LOAD)]
        path = "/workers/w%2F1/history"
        self.assertEqual(len((await self.get(path, self.admin)).json()), 2)
        for since, count in (
            ("2027-01-15T08:00:00Z", 1),
            ("2027-01-15T09:00:00%2B01:00", 1),
            ("2027-01-15T08:00:00", 1),
            (str(NOW - 60), 2),
            ("0", 3),
        ):
            samples = (await self.get(f"{path}?since={since}", self.admin)).json()
            self.assertEqual(len(samples), count, since)
        self.assertEqual(samples[0]["at"], "2027-01-15T06:00:00.000Z")
        self.assertEqual(samples[0]["memory_available"], 3_000)

    async def test_times_that_are_none(self) -> None:
        for since in ("yesterday", "nan", "inf", "1e400", "1e300", "-1e300", "2027-99-01", ""):
            response = await self.get(f"/workers/w/history?since={since}", self.admin)
            self.assert_problem(response, 422, "bad-parameter")

    async def test_for_admins(self) -> None:
        for path in ("/workers", "/workers/w/history"):
            self.assert_problem(await self.get(path, self.user), 403, "forbidden")
            self.assert_problem(await self.get(path), 401, "not-logged-in")
