"""GET /metrics."""

from __future__ import annotations

from dpip import __version__
from tests.api.fixture import ApiTest, picture
from tests.api.real import RealBackend
from tests.api.remote import RemoteBackend


class MetricsTests(RealBackend, ApiTest):
    async def test_jobs_workers_bytes_and_durations(self) -> None:
        self.stored_workload(picture(), picture(shade=1))
        result = await self.finish_job("w", picture(shade=2))
        await self.get(f"/images/{result}", self.user)
        response = await self.get("/metrics", self.admin)
        self.assertEqual(response.headers["content-type"], "text/plain; version=0.0.4; charset=utf-8")
        lines = response.body.decode().splitlines()
        for line in (
            "# TYPE dpip_jobs gauge",
            'dpip_jobs{state="waiting"} 1.0',
            'dpip_jobs{state="done"} 1.0',
            'dpip_workers{state="joined"} 0.0',
            f'dpip_build_info{{version="{__version__}"}} 1.0',
            'dpip_filter_jobs_total{filter="grayscale",outcome="done"} 1.0',
            'dpip_worker_jobs_total{worker="w",outcome="done"} 1.0',
            f'dpip_bytes_total{{direction="in",type="original"}} {float(2 * len(picture()))}',
            f'dpip_bytes_total{{direction="out",type="filtered"}} {float(len(picture()))}',
        ):
            self.assertIn(line, lines)
        [commits] = [line for line in lines if line.startswith("dpip_commit_seconds_count")]
        self.assertGreater(float(commits.split()[1]), 3)

    async def test_requests_by_route_are_told_every_few_seconds(self) -> None:
        for path in ("/workers", "/images/never-was", "/images/nor-this"):
            await self.get(path, self.user)
        self.clock.advance(5.0)
        await self.get("/workers", self.admin)
        lines = (await self.get("/metrics", self.admin)).body.decode().splitlines()
        for labels, count in (
            ('method="GET",route="/workers",status="4xx"', 1),
            ('method="GET",route="/workers",status="2xx"', 1),
            ('method="GET",route="/images/{reference}",status="4xx"', 2),
        ):
            self.assertIn(f"dpip_http_request_seconds_count{{{labels}}} {float(count)}", lines)

    async def test_for_admins(self) -> None:
        self.assert_problem(await self.get("/metrics", self.user), 403, "forbidden")


class RemoteMetricsTests(RemoteBackend, MetricsTests):
    """The same, asked of an API process."""
