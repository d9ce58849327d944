"""The tests of the endpoints once more, before the real controller, datastore and image store."""

from __future__ import annotations

from tests.api import (
    test_archive,
    test_batches,
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
from tests.api.http import test_headers_decide, test_idempotency, test_leaving
from tests.api.real import Maker, RealBackend


class RealLogoutTests(RealBackend, test_logout.LogoutTests):
    pass


class RealCreateWorkloadTests(RealBackend, test_create_workload.CreateWorkloadTests):
    pass


class RealShowWorkloadTests(RealBackend, test_workload.ShowWorkloadTests):
    pass


class RealDeleteWorkloadTests(RealBackend, test_workload.DeleteWorkloadTests):
    pass


class RealWorkloadsTests(RealBackend, test_workloads.WorkloadsTests):
    pass


class RealUploadTests(RealBackend, test_upload.UploadTests):
    pass


class RealQuotaTests(RealBackend, test_quota.QuotaTests):
    pass


class RealResultTests(RealBackend, test_result.ResultTests):
    pass


class RealResultBatchTests(RealBackend, test_batches.ResultBatchTests):
    pass


class RealDownloadBatchTests(RealBackend, test_batches.DownloadBatchTests):
    pass


class RealImageTests(RealBackend, test_image.ImageTests):
    pass


class RealImagesTests(RealBackend, test_images.ImagesTests):
    pass


class RealCancelTests(RealBackend, test_operations.CancelTests):
    pass


class RealRetryTests(RealBackend, test_operations.RetryTests):
    pass


class RealSealTests(RealBackend, test_operations.SealTests):
    pass


class RealTokensTests(RealBackend, test_tokens.TokensTests):
    pass


class RealUsersTests(RealBackend, test_users.UsersTests):
    pass


class RealWorkloadKeyTests(RealBackend, test_idempotency.WorkloadKeyTests):
    pass


class RealUploadKeyTests(RealBackend, test_idempotency.UploadKeyTests):
    pass


class RealLeavingTests(RealBackend, test_leaving.LeavingTests):
    pass


class RealHeadersDecideTests(RealBackend, test_headers_decide.HeadersDecideTests):
    pass


class RealRolesTests(RealBackend, test_roles.RolesTests):
    pass


class RealEventsTests(RealBackend, test_events.EventsTests):
    pass


class RealThumbnailTests(RealBackend, test_thumbnail.ThumbnailTests):
    def with_worker(self, *image_ids: str) -> None:
        self.makers.append(Maker())


class RealArchiveTests(RealBackend, test_archive.ArchiveTests):
    pass
