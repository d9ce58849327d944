from __future__ import annotations

from dpip.errors import BadCredentials, Conflict, NotFound
from dpip.model import ALL, Principal, Role, User
from tests.datastore.support import NOW, DatastoreTestCase, workload

ANN = User("ann", Role.USER, NOW, None, 0)


class UserTests(DatastoreTestCase):
    def test_a_user_is_remembered_with_its_password_hash(self) -> None:
        added = self.now(self.datastore.add_user("bob", "bob's hash", Role.ADMIN, 5000, NOW + 1))
        self.assertEqual(added, User("bob", Role.ADMIN, NOW + 1, 5000, 0))
        self.assertEqual(self.now(self.datastore.user("bob")), (added, "bob's hash"))

    def test_nobody_is_none(self) -> None:
        for name in ("bob", "", "ANN", "ann\0", "\udcff"):
            with self.subTest(name=name):
                expected = (ANN, "hash") if name == "ann\0" else None
                self.assertEqual(self.now(self.datastore.user(name)), expected)

    def test_a_name_is_taken_once(self) -> None:
        self.refused(self.datastore.add_user("ann", "other", Role.ADMIN, None, NOW), Conflict)
        self.assertEqual(self.now(self.datastore.user("ann")), (ANN, "hash"))

    def test_users_come_by_name(self) -> None:
        for name in ("zoe", "Bob", "carl"):
            self.now(self.datastore.add_user(name, "", Role.USER, None, NOW))
        names = [user.name for user in self.now(self.datastore.users())]
        self.assertEqual(names, ["Bob", "ann", "carl", "zoe"])


class RemovalTests(DatastoreTestCase):
    def test_tokens_and_workloads_go_with_their_user(self) -> None:
        self.now(self.datastore.add_token(b"d", "ann", NOW, NOW + 60))
        made = [self.now(self.datastore.add_workload(workload(name), None)) for name in ("w1", "w2")]
        self.uploaded("a", "b")
        removed = self.now(self.datastore.remove_user("ann", NOW))
        self.assertEqual([w.id for w in removed], [w.id for w in made])
        self.assertEqual(removed[0].accepted, 2)
        self.assertIsNone(self.now(self.datastore.user("ann")))
        self.assertIsNone(self.now(self.datastore.token(b"d")))
        self.assertIsNone(self.now(self.datastore.workload("w1")))
        self.assertEqual(self.rows("SELECT count(*) FROM images"), [(0,)])
        self.assertEqual(self.rows("SELECT count(*) FROM jobs"), [(0,)])

    def test_a_new_user_of_the_same_name_inherits_nothing(self) -> None:
        self.now(self.datastore.add_workload(workload(), None))
        self.now(self.datastore.remove_user("ann", NOW))
        self.now(self.datastore.add_user("ann", "new", Role.USER, None, NOW))
        self.assertEqual(self.now(self.datastore.workloads("ann", ALL, None, 10)), [])

    def test_nobody_cannot_be_removed(self) -> None:
        self.refused(self.datastore.remove_user("bob", NOW), NotFound)

    def test_the_last_admin_stays(self) -> None:
        self.now(self.datastore.add_user("root", "", Role.ADMIN, None, NOW))
        self.refused(self.datastore.remove_user("root", NOW), Conflict)
        self.assertIsNotNone(self.now(self.datastore.user("root")))
        self.now(self.datastore.add_user("other", "", Role.ADMIN, None, NOW))
        self.now(self.datastore.remove_user("root", NOW))
        self.assertIsNone(self.now(self.datastore.user("root")))


class TokenTests(DatastoreTestCase):
    def test_a_token_says_whose_it_is_and_until_when(self) -> None:
        self.now(self.datastore.add_token(b"\0\xff", "ann", NOW, NOW + 60))
        self.assertEqual(self.now(self.datastore.token(b"\0\xff")), (Principal("ann", Role.USER), NOW + 60))
        self.assertIsNone(self.now(self.datastore.token(b"\0")))

    def test_nobody_gets_no_token(self) -> None:
        self.refused(self.datastore.add_token(b"d", "bob", NOW, NOW + 60), NotFound)

    def test_a_token_is_removed_once_or_twice(self) -> None:
        self.now(self.datastore.add_token(b"d", "ann", NOW, NOW + 60))
        self.now(self.datastore.add_token(b"e", "ann", NOW, NOW + 60))
        for _ in range(2):
            self.now(self.datastore.remove_token(b"d"))
        self.assertIsNone(self.now(self.datastore.token(b"d")))
        self.assertIsNotNone(self.now(self.datastore.token(b"e")))

    def test_a_new_password_kills_all_tokens_of_this_user_alone(self) -> None:
        self.now(self.datastore.add_user("bob", "", Role.USER, None, NOW))
        for digest, name in ((b"1", "ann"), (b"2", "ann"), (b"3", "bob")):
            self.now(self.datastore.add_token(digest, name, NOW, NOW + 60))
        self.now(self.datastore.set_password("ann", "new"))
        alive = [digest for digest in (b"1", b"2", b"3") if self.now(self.datastore.token(digest))]
        self.assertEqual(alive, [b"3"])
        self.assertEqual(self.now(self.datastore.user("ann")), (ANN, "new"))

    def test_a_login_that_was_held_against_an_old_password_gets_no_token(self) -> None:
        _, stored = self.now(self.datastore.user("ann"))
        self.now(self.datastore.add_token(b"d", "ann", NOW, NOW + 60, verified=stored))
        self.now(self.datastore.set_password("ann", "new"))
        self.refused(self.datastore.add_token(b"e", "ann", NOW, NOW + 60, verified=stored), BadCredentials)
        self.refused(self.datastore.add_token(b"f", "bob", NOW, NOW + 60, verified=""), BadCredentials)
        self.assertIsNone(self.now(self.datastore.token(b"e")))

    def test_nobody_gets_no_password(self) -> None:
        self.refused(self.datastore.set_password("bob", "new"), NotFound)
