"""The page in a real browser, served by real processes."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SkipTest, TestCase

from tests.system.processes import PASSWORD, Cluster, Process

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
PATIENCE_MS = 60_000
"""After which a test gives up waiting: only ever reached when something is broken."""

PAGE = {"X-DPIP-Page": "1"}


def start_browser(test: TestCase) -> Any:
    """A headless Chromium for as long as the test runs. Raises SkipTest where there is none."""
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        raise SkipTest("No Chromium is installed (on Debian: apt-get install chromium).")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        raise SkipTest("Playwright is not installed (pip install 'dpip[test]').") from None
    playwright = sync_playwright().start()
    test.addCleanup(playwright.stop)
    browser = playwright.chromium.launch(executable_path=path)
    test.addCleanup(browser.close)
    return browser


class PageTest(TestCase):
    """``self.cluster`` has a controller and no worker, ``self.page`` is open and nobody is logged in."""

    def setUp(self) -> None:
        browser = start_browser(self)
        self.cluster = Cluster()
        self.addCleanup(self.cluster.__exit__, None)
        self.controller = self.cluster.start_controller()
        self.url = f"http://127.0.0.1:{self.cluster.http}/"
        context = browser.new_context(
            viewport={"width": 1200, "height": 800}, reduced_motion="reduce", base_url=self.url
        )
        context.set_default_timeout(PATIENCE_MS)
        self.page = context.new_page()
        self.troubles: list[str] = []
        self.page.on("pageerror", lambda error: self.troubles.append(str(error)))
        self.page.on("console", lambda line: self._note(line.text))
        self.page.goto(self.url)

    def _note(self, line: str) -> None:
        """The browser says on its console what the page's own policy has stopped."""
        if "Content Security Policy" in line:
            self.troubles.append(line)

    def tearDown(self) -> None:
        self.assertEqual(self.troubles, [], "errors of the page itself")

    def start_worker(self) -> Process:
        return self.cluster.start_worker("w", "--slots", "1", "--tags", "quick")

    def log_in(self, password: str = PASSWORD, user: str = "admin") -> None:
        self.page.get_by_label("User").fill(user)
        self.page.get_by_label("Password").fill(password)
        self.page.get_by_role("button", name="Log in").click()

    def write(self, name: str, data: bytes) -> Path:
        path = self.cluster.directory / name
        path.write_bytes(data)
        return path

    def ask(self, path: str) -> Any:
        """The API's answer to the user who is logged in on the page."""
        return self.page.request.get(path, headers=PAGE)
