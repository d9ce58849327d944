"""Uploads are refused at their headers when they are too large, too many, or the disk is full."""

from attrs import define
from twisted.trial.unittest import TestCase

from dpip.errors import DiskFull, QuotaExceeded, RetryLater, TooLarge
from dpip.model import Principal, Role
from dpip.store.admission import WORKERS, Admission, AdmissionControl, Promises, RetryAfterQueue
from dpip.store.disk_space import MIB

ANN = Principal("ann", Role.USER)
MALLORY = Principal("mallory", Role.USER)
WORKER = Principal("w1", Role.WORKER, "s1")


@define
class Space:
    """A disk with ``free`` bytes."""

    free: int

    def reserve(self, length: int, essential: bool = False, elsewhere: int = 0) -> "Reserved":
        if length > self.free - elsewhere and not essential:
            raise DiskFull("no room")
        self.free -= length
        return Reserved(self, length)


@define
class Reserved:
    space: Space
    length: int

    def release(self) -> None:
        self.space.free += self.length


class AdmissionTests(TestCase):
    def setUp(self) -> None:
        self.now = 0.0
        self.space = Space(free=10_000)
        self.admission = AdmissionControl(self.space, 1_000, 2_000, RetryAfterQueue(lambda: self.now))

    def test_an_upload_larger_than_the_limit_is_refused_with_both_numbers(self) -> None:
        refused = self.assertRaises(TooLarge, self.admission.admit, ANN, 1_001)
        self.assertIn("1001", refused.detail)
        self.assertEqual(refused.members["limit"], 1_000)

    def test_room_is_given_back_once_however_often_it_is_released(self) -> None:
        admission = self.admission.admit(ANN, 600)
        self.assertEqual((self.space.free, self.admission.in_flight, admission.limit), (9_400, 600, 600))
        admission.release()
        admission.release()
        self.assertEqual((self.space.free, self.admission.in_flight), (10_000, 0))

    def test_bytes_in_flight_are_bounded_for_users_but_never_for_results(self) -> None:
        self.admission.admit(ANN, 1_000)
        self.admission.admit(ANN, 1_000)
        self.assertRaises(RetryLater, self.admission.admit, ANN, 1)
        self.admission.admit(WORKER, 1_000)

    def arrived(self, by: Principal = ANN) -> Admission:
        admission = self.admission.admit(by, 1)
        admission.arrived()
        return admission

    def test_so_many_may_wait_for_their_answers_whatever_is_still_on_its_way(self) -> None:
        self.admission.max_unanswered = 2
        on_their_way = [self.admission.admit(ANN, 1) for _ in range(10)]
        first = self.arrived()
        self.arrived()
        self.assertRaises(RetryLater, self.admission.admit, ANN, 1)
        on_their_way[0].arrived()  # it was let in: who waits is bounded by who comes, not by who came
        first.release()
        first.release()
        self.assertRaises(RetryLater, self.admission.admit, ANN, 1)
        on_their_way[0].release()
        self.arrived()

    def test_results_are_never_too_many_and_make_nobody_wait(self) -> None:
        self.admission.max_unanswered = 1
        self.arrived(WORKER).release()
        self.arrived(WORKER)
        self.arrived()
        self.arrived(WORKER)
        self.assertEqual(self.admission.unanswered, 1)

    def test_who_is_sent_away_is_told_a_time_after_the_others(self) -> None:
        self.admission.max_unanswered = 0
        self.admission.retry_after = RetryAfterQueue(lambda: self.now, each_second=2, longest=3)

        def told() -> int:
            return int(self.assertRaises(RetryLater, self.admission.admit, ANN, 1).retry_after)

        self.assertEqual([told() for _ in range(7)], [1, 1, 2, 2, 3, 3, 3])
        self.now = 1.0
        self.assertEqual([told() for _ in range(3)], [2, 3, 3])
        self.now = 100.0
        self.assertEqual(told(), 1)

    def test_a_body_of_unknown_length_may_grow_to_the_limit(self) -> None:
        self.assertEqual(self.admission.admit(ANN, None).limit, 1_000)

    def test_a_full_disk_refuses_and_keeps_nothing_reserved(self) -> None:
        self.space.free = 10
        self.assertRaises(DiskFull, self.admission.admit, ANN, 11)
        self.assertEqual(self.admission.in_flight, 0)

    def test_a_result_is_let_in_below_the_floor(self) -> None:
        self.space.free = 10
        self.admission.admit(WORKER, 11)


class SharedAdmissionTests(TestCase):
    """Uploads of up to 100 MiB, four of which may be under way."""

    def setUp(self) -> None:
        self.space = Space(free=10_000 * MIB)
        self.admission = AdmissionControl(self.space, 100 * MIB, 400 * MIB, RetryAfterQueue(lambda: 0.0))

    def test_who_announces_all_there_is_locks_nobody_else_out(self) -> None:
        for _ in range(4):
            self.admission.admit(MALLORY, 100 * MIB)
        self.assertRaises(RetryLater, self.admission.admit, MALLORY, 1)
        self.admission.admit(ANN, 100 * MIB)
        self.admission.admit(ANN, 100 * MIB)
        self.assertRaises(RetryLater, self.admission.admit, ANN, 1)

    def test_many_users_who_do_leave_each_one_upload(self) -> None:
        for number in range(20):
            self.admission.admit(Principal(f"user {number}", Role.USER), 100 * MIB)
        self.admission.admit(ANN, 100 * MIB)
        self.assertRaises(RetryLater, self.admission.admit, ANN, 1)

    def test_who_sends_more_than_can_be_answered_leaves_others_their_turn(self) -> None:
        self.admission.max_unanswered = 4
        for _ in range(4):
            self.admission.admit(MALLORY, 1).arrived()
        self.assertRaises(RetryLater, self.admission.admit, MALLORY, 1)
        for _ in range(2):
            self.admission.admit(ANN, 1).arrived()
        self.assertRaises(RetryLater, self.admission.admit, ANN, 1)

    def test_a_chunked_body_is_counted_as_it_comes(self) -> None:
        self.admission.max_in_flight = 40 * MIB
        admission = self.admission.admit(ANN, None)
        self.assertEqual(self.admission.in_flight, 16 * MIB)
        admission.grow(16 * MIB)
        self.assertEqual(self.admission.in_flight, 16 * MIB)
        admission.grow(16 * MIB + 1)
        self.assertEqual((self.admission.in_flight, self.space.free), (32 * MIB, 9_968 * MIB))
        other = self.admission.admit(MALLORY, 100 * MIB)
        for size in (32, 48, 64, 80, 96):
            admission.grow(size * MIB + 1)
        self.assertEqual(self.admission.in_flight, 200 * MIB)
        self.assertRaises(RetryLater, self.admission.admit, ANN, 1)
        admission.release()
        other.release()
        self.assertEqual((self.admission.in_flight, self.space.free), (0, 10_000 * MIB))

    def test_a_chunked_body_that_grows_on_a_disk_that_is_full_is_refused(self) -> None:
        self.space.free = 20 * MIB
        admission = self.admission.admit(ANN, None)
        self.assertRaises(DiskFull, admission.grow, 17 * MIB)
        admission.release()
        self.assertEqual((self.admission.in_flight, self.space.free), (0, 20 * MIB))

    def test_a_chunked_body_takes_no_more_than_the_quota_leaves(self) -> None:
        admission = self.admission.admit(ANN, None, room=20 * MIB)
        admission.grow(20 * MIB)
        self.assertRaises(QuotaExceeded, admission.grow, 20 * MIB + 1)

    def test_uploads_that_fit_only_without_each_other_come_one_after_the_other(self) -> None:
        first = self.admission.admit(ANN, 30 * MIB, room=50 * MIB)
        refused = self.assertRaises(RetryLater, self.admission.admit, ANN, 30 * MIB, 50 * MIB)
        self.assertIn("quota", refused.detail)
        first.release()
        self.admission.admit(ANN, 30 * MIB, room=50 * MIB)


class SeveralProcessesTests(TestCase):
    def setUp(self) -> None:
        self.told: list[Promises] = []
        self.space = Space(free=100 * MIB)
        self.admission = AdmissionControl(
            self.space, 50 * MIB, 60 * MIB, RetryAfterQueue(lambda: 0.0), self.told.append
        )

    def test_what_others_take_in_counts_as_well(self) -> None:
        self.admission.told_of_others({"ann": 30 * MIB})
        self.admission.admit(ANN, 30 * MIB)
        self.assertRaises(RetryLater, self.admission.admit, ANN, 1)
        self.admission.admit(WORKER, 10 * MIB)

    def test_what_workers_send_elsewhere_takes_no_users_share(self) -> None:
        self.admission.told_of_others({WORKERS: 40 * MIB})
        self.admission.admit(ANN, 50 * MIB)
        self.assertEqual(self.admission.elsewhere, 40 * MIB)

    def test_a_user_has_one_share_in_all_processes(self) -> None:
        self.admission.told_of_others({"mallory": 50 * MIB, "bob": 10 * MIB})
        self.assertRaises(RetryLater, self.admission.admit, MALLORY, MIB)
        self.admission.admit(ANN, 20 * MIB)

    def test_the_others_have_taken_the_room(self) -> None:
        self.admission.max_in_flight = 1000 * MIB
        self.admission.told_of_others({"bob": 80 * MIB})
        self.assertRaises(DiskFull, self.admission.admit, ANN, 21 * MIB)
        self.admission.admit(ANN, 20 * MIB)

    def test_large_changes_are_told_and_small_ones_only_together(self) -> None:
        large = self.admission.admit(ANN, 20 * MIB)
        small = [self.admission.admit(WORKER, 3 * MIB) for _ in range(4)]
        self.assertEqual(self.told, [{"ann": 20 * MIB}, {"ann": 20 * MIB, WORKERS: 9 * MIB}])
        large.release()
        for each in small:
            each.release()
        self.assertEqual(self.told[2:], [{WORKERS: 12 * MIB}, {WORKERS: 3 * MIB}, {}])
        self.assertEqual((self.admission.promised, self.space.free), ({}, 100 * MIB))
