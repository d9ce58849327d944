"""Clients that go away: an upload is wholly there or wholly not."""

from __future__ import annotations

from tests.api.client import Form, request_bytes
from tests.api.fixture import ApiTest, picture
from tests.api.wire import Wire


class LeavingTests(ApiTest):
    def setUp(self) -> None:
        super().setUp()
        self.workload = self.stored_workload()
        self.form = Form().field("workload_id", self.workload).file("data", "a.png", picture())
        named = {"Authorization": f"Bearer {self.user}", "Content-Type": self.form.content_type}
        self.upload_bytes = request_bytes("POST", "/images", named, self.form.body)

    def accepted(self) -> int:
        by = self.successResultOf(self.controller.authenticate(self.user))
        return self.successResultOf(self.controller.workload(by, self.workload)).workload.accepted

    def test_in_the_middle_of_the_body(self) -> None:
        for cut in (len(self.upload_bytes) - 1, len(self.upload_bytes) - len(self.form.body) // 2):
            wire = Wire(self.site)
            wire.send(self.upload_bytes[:cut])
            self.assertEqual(self.uploads_under_way(), 1)
            wire.hang_up()
            self.assert_nothing_left()
        self.assertEqual(self.accepted(), 0)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_when_the_body_is_complete_the_work_goes_on_to_its_end(self) -> None:
        for method in ("check_upload", "commit_originals"):
            held = self.controller.hold(method)
            wire = Wire(self.site)
            before = self.accepted()
            wire.send(self.upload_bytes)
            self.assertTrue(held.reached.called)
            wire.hang_up()
            held.release()
            self.assertEqual(self.accepted(), before + 1)
            self.assert_nothing_left()
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_a_refusal_that_nobody_waits_for_is_no_fault(self) -> None:
        held = self.controller.hold("check_upload")
        wire = Wire(self.site)
        wire.send(self.upload_bytes)
        by = self.successResultOf(self.controller.authenticate(self.user))
        self.successResultOf(self.controller.delete_workload(by, self.workload))
        wire.hang_up()
        held.release()
        self.assert_nothing_left()
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_a_fault_of_ours_is_logged_though_nobody_waits(self) -> None:
        held = self.controller.hold("check_upload")
        wire = Wire(self.site)
        wire.send(self.upload_bytes)
        wire.hang_up()
        self.store.keep_many = lambda *_: 1 / 0
        held.release()
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assert_nothing_left()

    def test_a_new_workload_is_made_though_its_client_has_left(self) -> None:
        held = self.controller.hold("create_workload")
        wire = Wire(self.site)
        wire.send(request_bytes("POST", "/workloads", {"Authorization": f"Bearer {self.user}"}))
        wire.hang_up()
        held.release()
        by = self.successResultOf(self.controller.authenticate(self.user))
        self.assertEqual(len(self.successResultOf(self.controller.workloads(by))), 2)
