"""The tests of the endpoints once more, in front of a controller that is in another process."""

from __future__ import annotations

from tests.api import (
    test_create_workload,
    test_idempotency,
    test_image,
    test_images,
    test_logout,
    test_result,
    test_roles,
    test_upload,
    test_users,
    test_workload,
    test_workloads,
)
from tests.api.remote import RemoteBackend


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


class RemoteResultTests(RemoteBackend, test_result.ResultTests):
    pass


class RemoteImageTests(RemoteBackend, test_image.ImageTests):
    pass


class RemoteImagesTests(RemoteBackend, test_images.ImagesTests):
    pass


class RemoteUsersTests(RemoteBackend, test_users.UsersTests):
    pass


class RemoteWorkloadKeyTests(RemoteBackend, test_idempotency.WorkloadKeyTests):
    pass


class RemoteUploadKeyTests(RemoteBackend, test_idempotency.UploadKeyTests):
    pass


class RemoteRolesTests(RemoteBackend, test_roles.RolesTests):
    pass
