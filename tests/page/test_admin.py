"""What an admin has besides: users, tokens, workers; and what others have not."""

from __future__ import annotations

import urllib.error
import urllib.request
from typing import Any

from tests.page.support import PAGE, PageTest
from tests.system.processes import wait_until

IN_SIGHT = """(({top, bottom}) => top >= 0 && bottom <= innerHeight)(
    document.querySelector('.secret').getBoundingClientRect())"""


class AdminTests(PageTest):
    def test_users_tokens_and_workers(self) -> None:
        self.log_in()
        self._makes_a_user()
        self._makes_a_token_and_revokes_it()
        self._sends_a_worker_away()
        self._ann_sees_what_is_hers()
        self._ann_hears_that_her_session_has_ended()

    def _go(self, place: str) -> None:
        self.page.get_by_role("navigation").get_by_role("link", name=place).click()
        self.page.get_by_role("heading", name=place, exact=True).wait_for()

    def _answer(self, name: str) -> None:
        self.page.get_by_role("dialog").get_by_role("button", name=name).click()

    def _makes_a_user(self) -> None:
        page = self.page
        self._go("Users")
        for name in ("ann", "bob"):
            page.get_by_label("Name", exact=True).fill(name)
            page.get_by_label("Password (8 or more)").fill(f"{name} likes pictures")
            page.get_by_role("button", name="Add").click()
            page.get_by_role("row", name=name).wait_for()
        page.get_by_role("button", name="Remove bob").click()
        self._answer("Remove")
        page.get_by_role("row", name="bob").wait_for(state="detached")
        self.assertEqual([user["user"] for user in self.ask("/users").json()], ["admin", "ann"])

    def _makes_a_token_and_revokes_it(self) -> None:
        page = self.page
        page.goto(f"{self.url}#/tokens")
        page.get_by_label("Name, for example of the program").fill("nightly")
        page.get_by_role("button", name="Create token").click()
        page.get_by_role("heading", name="The token nightly").wait_for()
        self.assertTrue(page.evaluate(IN_SIGHT), "the token is shown once: where one looks")
        secret = page.get_by_role("region", name="The token nightly").locator("code").inner_text()
        self.assertEqual(self._status_with(secret), 200)
        page.get_by_role("button", name="Revoke nightly of admin", exact=False).click()
        self._answer("Revoke")
        page.get_by_role("row", name="nightly").wait_for(state="detached")
        self.assertEqual(self._status_with(secret), 401)

    def _status_with(self, token: str) -> int:
        request = urllib.request.Request(f"{self.url}status", headers={"Authorization": f"Bearer {token}"})
        try:
            with urllib.request.urlopen(request) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code

    def _sends_a_worker_away(self) -> None:
        page = self.page
        self._go("Workers")
        page.get_by_role("heading", name="No worker has joined").wait_for()
        worker = self.start_worker()
        card = page.get_by_role("listitem").filter(has_text="quick")
        card.get_by_text("Joined").wait_for()
        card.get_by_text("0 of 1").wait_for()
        page.get_by_role("button", name="Drain w").click()
        self._answer("Drain")
        card.get_by_text("Away for").wait_for()
        self.assertEqual(wait_until(lambda: worker.process.poll() is not None, "its end"), True)
        self._reads_its_history_and_forgets_it(card)

    def _reads_its_history_and_forgets_it(self, card: Any) -> None:
        page = self.page
        card.get_by_role("link", name="w", exact=True).click()
        history = page.get_by_role("region", name="History")
        history.get_by_text("joined address 127.0.0.1", exact=False).wait_for()
        told = history.get_by_role("listitem").locator("strong").all_inner_texts()
        self.assertEqual(told, ["left", "drained", "joined"])
        page.get_by_role("button", name="Forget it").click()
        self._answer("Forget")
        page.get_by_role("heading", name="No worker has joined").wait_for()
        page.locator("summary", has_text="Account of admin, and theme").click()
        page.get_by_role("link", name="Activity").click()
        page.get_by_label("Only what was done to").fill("w")
        page.get_by_role("row").filter(has_text="forget worker").get_by_role("link", name="w").wait_for()
        page.locator("tbody tr").nth(4).wait_for(state="detached")
        self.assertEqual(page.locator("tbody tr").count(), 4)

    def _ann_sees_what_is_hers(self) -> None:
        page = self.page
        page.locator("summary", has_text="Account of admin, and theme").click()
        page.get_by_role("button", name="Log out").click()
        self.log_in("ann likes pictures", user="ann")
        page.locator("summary", has_text="Account of ann, and theme").wait_for()
        links = page.get_by_role("navigation").get_by_role("link").all_inner_texts()
        self.assertEqual(links, ["Workloads"])
        page.goto(f"{self.url}#/users")
        page.get_by_role("heading", name="Workloads").wait_for()
        self._changes_her_password()

    def _changes_her_password(self) -> None:
        page = self.page
        page.locator("summary", has_text="Account of ann, and theme").click()
        page.get_by_role("button", name="Change password").click()
        dialog = page.get_by_role("dialog")
        dialog.get_by_label("Password, 8 characters or more").fill("ann likes films")
        dialog.get_by_label("Old password").fill("a guess of it")
        dialog.get_by_role("button", name="Set password").click()
        page.get_by_text("The old password is wrong").wait_for()
        dialog.get_by_label("Old password").fill("ann likes pictures")
        dialog.get_by_role("button", name="Set password").click()
        page.get_by_label("User").wait_for()  # all her tokens are dead
        self.log_in("ann likes films", user="ann")
        page.locator("summary", has_text="Account of ann, and theme").wait_for()

    def _ann_hears_that_her_session_has_ended(self) -> None:
        """And not that the server does not answer."""
        self.page.request.delete("/logout", headers=PAGE)
        self.page.get_by_text("Your session has ended. Log in again.").wait_for()
        self.page.wait_for_timeout(1600)  # of the next look at the server
        self.assertEqual(self.page.locator("#connection").inner_text(), "")
