"""``dpip users`` on a state directory, beside no service."""

from __future__ import annotations

import json
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from unittest import mock

from argon2 import PasswordHasher
from click.testing import CliRunner, Result
from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from dpip.command import main
from dpip.datastore.datastore import Datastore
from dpip.model import Numbering, Workload, WorkloadSpec
from dpip.runtime.threads import InlineThreads


class UsersTestCase(TestCase):
    def setUp(self) -> None:
        self.state = Path(self.enterContext(tempfile.TemporaryDirectory(prefix="dpip-test-")))
        self.with_datastore(lambda datastore: [])

    def with_datastore(self, work: object) -> object:
        here = InlineThreads()
        datastore = Datastore(self.state / "dpip.sqlite", here, lambda most, name: here)
        datastore.startService()
        try:
            return work(datastore)  # type: ignore[operator]
        finally:
            self.successResultOf(datastore.stopService())

    def dpip(self, *arguments: str, stdin: str = "", env: dict[str, str] | None = None) -> Result:
        settings = {"DPIP_STATE_DIR": str(self.state)} if env is None else env
        return CliRunner().invoke(main, ["users", *arguments], input=stdin, env=settings)

    def done(self, *arguments: str, stdin: str = "") -> str:
        result = self.dpip(*arguments, stdin=stdin)
        self.assertEqual(result.exit_code, 0, result.output)
        return result.stdout

    def refused(self, *arguments: str, stdin: str = "", code: int = 1) -> str:
        result = self.dpip(*arguments, stdin=stdin)
        self.assertEqual(result.exit_code, code, result.output)
        return result.stderr

    def hash_of(self, name: str) -> str:
        found = self.with_datastore(lambda datastore: self.successResultOf(datastore.user(name)))
        return str(found[1])  # type: ignore[index]


class UsersTests(UsersTestCase):
    def test_a_user_is_added_with_a_password_that_opens(self) -> None:
        self.assertEqual(
            self.done("add", "eve", "--quota", "1.5G", stdin="a good password\n"), "Added the user eve.\n"
        )
        self.assertTrue(PasswordHasher().verify(self.hash_of("eve"), "a good password"))
        self.assertEqual(
            self.done("add", "root", "--admin", stdin="another password"), "Added the admin root.\n"
        )
        lines = [line.split() for line in self.done("list").splitlines()]
        self.assertEqual(lines[0], ["USER", "ROLE", "USED", "QUOTA", "SINCE"])
        self.assertEqual(
            [line[:4] for line in lines[1:]], [["eve", "user", "0", "1.5G"], ["root", "admin", "0", "no"]]
        )

    def test_json_is_what_the_api_says(self) -> None:
        self.done("add", "eve", "--quota", "1K", stdin="a good password\n")
        [eve] = json.loads(self.done("list", "--json"))
        made = datetime.fromisoformat(eve.pop("created_at"))
        self.assertLess(abs(datetime.now(UTC) - made), timedelta(minutes=1))
        self.assertEqual(eve, {"user": "eve", "role": "user", "quota": 1024, "used": 0, "reserved": 0})

    def test_what_is_added_is_on_the_record(self) -> None:
        self.done("add", "eve", stdin="a good password\n")
        found = self.with_datastore(lambda datastore: self.successResultOf(datastore.activity(None, 10)))
        ((_, activity),) = found  # type: ignore[misc]
        self.assertEqual(
            (activity.actor, activity.action, activity.subject), ("dpip users", "add-user", "eve")
        )

    def test_a_name_that_is_taken(self) -> None:
        self.done("add", "eve", stdin="a good password\n")
        self.assertEqual(
            self.refused("add", "eve", stdin="a good password\n"),
            "Error: There is a user named 'eve' already. 'dpip users passwd' sets a password.\n",
        )

    def test_names_and_passwords_that_cannot_be(self) -> None:
        self.assertIn("no colon", self.refused("add", "a:b", stdin="a good password\n"))
        self.assertIn("8 to 1024", self.refused("add", "eve", stdin="short\n"))
        self.assertIn("standard input", self.refused("add", "eve", stdin="", code=2))
        self.assertEqual(self.done("list"), "")

    def test_a_quota_that_is_no_size(self) -> None:
        self.assertIn("'many' is not a size", self.refused("add", "eve", "--quota", "many", code=2))

    def test_a_new_password_ends_all_sessions(self) -> None:
        self.done("add", "eve", stdin="a good password\n")
        digest = b"d" * 32

        def log_in(datastore: Datastore) -> Deferred[None]:
            return datastore.add_token(digest, "eve", 1.0, 2e9)

        self.with_datastore(lambda datastore: self.successResultOf(log_in(datastore)))
        self.assertEqual(
            self.done("passwd", "eve", stdin="a better password\n"),
            "The password of eve is changed. A running service takes up to 40 s to notice.\n",
        )
        self.assertTrue(PasswordHasher().verify(self.hash_of("eve"), "a better password"))
        token = self.with_datastore(lambda datastore: self.successResultOf(datastore.token(digest)))
        self.assertIsNone(token)

    def test_a_user_goes_with_its_workloads(self) -> None:
        self.done("add", "eve", stdin="a good password\n")
        spec = WorkloadSpec("film", (("grayscale", {}),), numbering=Numbering.IDS)
        for name in ("w1", "w2"):
            workload = Workload(name, "eve", spec, name, 1.0)
            self.with_datastore(lambda d, w=workload: self.successResultOf(d.add_workload(w, None)))
        self.assertEqual(self.done("remove", "eve", "--yes"), "Removed eve and 2 workloads.\n")
        self.assertEqual(self.done("list"), "")

    def test_the_last_admin_stays(self) -> None:
        self.done("add", "root", "--admin", stdin="a good password\n")
        self.assertIn("last admin", self.refused("remove", "root", "--yes"))

    def test_unknown_users_and_who_is_known(self) -> None:
        self.done("add", "eve", stdin="a good password\n")
        for command in ("remove", "passwd"):
            self.assertEqual(
                self.refused(command, "adam", stdin="a good password\n"),
                "Error: There is no user named 'adam'. Known: eve.\n",
            )


class StateDirectoryTests(UsersTestCase):
    def test_it_is_an_option_too(self) -> None:
        result = self.dpip("list", "--state-dir", str(self.state), env={})
        self.assertEqual((result.exit_code, result.stdout), (0, ""))
        self.assertEqual(result.stderr, "There are no users.\n")

    def test_a_place_without_a_service_stays_as_it_is(self) -> None:
        elsewhere = self.state / "elsewhere"
        result = self.dpip("add", "eve", "--state-dir", str(elsewhere), stdin="a good password\n")
        self.assertEqual(result.exit_code, 1)
        self.assertIn(f"There is no DPIP in {elsewhere}.", result.stderr)
        self.assertFalse(elsewhere.exists())


class OnATerminalTests(UsersTestCase):
    """What is typed comes from ``stdin`` here, too: click's own runner stands for the terminal."""

    def setUp(self) -> None:
        super().setUp()
        self.enterContext(mock.patch("dpip.command.prompts.on_a_terminal", return_value=True))

    def test_the_password_is_asked_for_until_it_is_the_same_twice(self) -> None:
        self.done("add", "eve", stdin="a good password\na bad password\na good password\na good password\n")
        self.assertTrue(PasswordHasher().verify(self.hash_of("eve"), "a good password"))

    def test_nobody_is_asked_for_the_password_of_a_name_that_is_taken(self) -> None:
        self.done("add", "eve", stdin="a good password\n" * 2)
        self.assertNotIn("New password", self.refused("add", "eve"))

    def test_removal_is_confirmed(self) -> None:
        self.done("add", "eve", stdin="a good password\n" * 2)
        self.assertIn("Nothing was changed.", self.refused("remove", "eve", stdin="n\n"))
        self.assertIn("eve", self.done("list"))
        self.done("remove", "eve", stdin="y\n")
        self.assertNotIn("eve", self.done("list"))

    def test_removal_without_a_question(self) -> None:
        self.done("add", "eve", stdin="a good password\n" * 2)
        self.done("remove", "eve", "--yes")
        self.assertNotIn("eve", self.done("list"))

    def test_the_end_of_input_at_a_question(self) -> None:
        error = self.refused("add", "eve", stdin="a good password\n", code=130)
        self.assertTrue(error.endswith("\nInterrupted.\n"), error)
        self.assertNotIn("eve", self.done("list"))
