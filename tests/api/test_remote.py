"""The tests of the endpoints once more, in front of a controller that is in another process."""

from __future__ import annotations

from collections.abc import Iterator

from twisted.internet.defer import Deferred

from dpip.api.http.routes import Route
from dpip.testing import Hold
from tests.api import (
    test_archive,
    test_create_workload,
    test_events,
    test_image,
    test_images,
    test_logout,
    test_operations,
    test_quota,
    test_result,
    test_roles,
    test_thumbnail,
    test_tokens,
    test_upload,
    test_users,
    test_workload,
    test_workloads,
)
from tests.api.fixture import picture
from tests.api.http import test_idempotency
from tests.api.real import Maker
from tests.api.remote import RemoteBackend
from tests.api.test_roles import Rule


class RemoteLogoutTests(RemoteBackend, test_logout.LogoutTests):
    pass


class RemoteCreateWorkloadTests(RemoteBackend, test_create_workload.CreateWorkloadTests):
    pass


class RemoteShowWorkloadTests(RemoteBackend, test_workload.ShowWorkloadTests):
    pass


class RemoteDeleteWorkloadTests(RemoteBackend, test_workload.DeleteWorkloadTests):
    pass


class RemoteWorkloadsTests(RemoteBackend, test_workloads.WorkloadsTests):
    pass


class RemoteUploadTests(RemoteBackend, test_upload.UploadTests):
    pass


class RemoteQuotaTests(RemoteBackend, test_quota.QuotaTests):
    pass


class RemoteResultTests(RemoteBackend, test_result.ResultTests):
    pass


class RemoteImageTests(RemoteBackend, test_image.ImageTests):
    pass


class RemoteImagesTests(RemoteBackend, test_images.ImagesTests):
    pass


class RemoteCancelTests(RemoteBackend, test_operations.CancelTests):
    pass


class RemoteRetryTests(RemoteBackend, test_operations.RetryTests):
    pass


class RemoteSealTests(RemoteBackend, test_operations.SealTests):
    pass


class RemoteTokensTests(RemoteBackend, test_tokens.TokensTests):
    pass


class RemoteUsersTests(RemoteBackend, test_users.UsersTests):
    pass


class RemoteWorkloadKeyTests(RemoteBackend, test_idempotency.WorkloadKeyTests):
    pass


class RemoteUploadKeyTests(RemoteBackend, test_idempotency.UploadKeyTests):
    pass


class RemoteRolesTests(RemoteBackend, test_roles.RolesTests):
    def rows(self) -> Iterator[tuple[Route, Rule]]:
        """One route of each kind: who asks crosses the link in one way, whatever is asked for.
        ``RealRolesTests`` has them all."""
        seen = set()
        for route, rule in super().rows():
            kind = rule.access, rule.whose, route.method == "GET"
            if kind not in seen:
                seen.add(kind)
                yield route, rule


class RemoteEventsTests(RemoteBackend, test_events.EventsTests):
    async def test_who_leaves_leaves_nothing_behind(self) -> None:
        """The controller is not told of it: it has an answer for nobody, when the time has come."""
        reader = await self.follow("/events", self.user)
        await self.event(reader, "snapshot")
        reader.connection.drop()
        await self.server_side_gone()
        self.clock.advance(15)
        await self.turn()
        self.assertEqual(self.feed_waiting(), 0)


class RemoteThumbnailTests(RemoteBackend, test_thumbnail.ThumbnailTests):
    def with_worker(self, *image_ids: str) -> None:
        self.makers.append(Maker())

    async def test_a_worker_that_makes_one_may_read_the_image_meanwhile(self) -> None:
        token = self.controller.join_worker("w")
        _, original = await self.an_original()
        path = f"/images/{original}"
        self.assert_problem(await self.get(path, token), 404, "not-found")
        self.makers.append(Maker("session-of-w", hold := Hold()))
        asked = Deferred.fromCoroutine(self.get(f"{path}/thumbnail", self.user))
        await hold.reached
        self.assertEqual((await self.get(path, token)).body, picture())
        hold.release()
        self.assertEqual((await asked).body, test_thumbnail.SMALL)
        self.assert_problem(await self.get(path, token), 404, "not-found")


class RemoteArchiveTests(RemoteBackend, test_archive.ArchiveTests):
    pass
