"""For everybody: nothing that axe objects to, nothing wider than a phone, in both themes, in every state."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from twisted.trial.unittest import SkipTest

from tests.frames import encoded
from tests.page.support import PageTest

PHONE = {"width": 360, "height": 740}
ALL: dict[str, Any] = {"rules": {"label-content-name-mismatch": {"enabled": True}}}
COLOURS = {"runOnly": ["color-contrast"]}  # the theme changes nothing else
WIDTHS = """new Promise(told => {
    const frame = left => left ? requestAnimationFrame(() => frame(left - 1))
                               : told([document.documentElement.scrollWidth, innerWidth]);
    frame(4);  // the gallery is laid out anew in the next one or two
})"""
DESK = {"width": 1200, "height": 800}


class LooksTests(PageTest):
    def test_axe_finds_nothing_and_nothing_is_wider_than_a_phone(self) -> None:
        try:
            from axe_playwright_python.sync_playwright import Axe
        except ImportError:
            raise SkipTest("axe is not installed (pip install 'dpip[test]').") from None
        axe = Axe()
        for state in self._states():
            for theme, rules in (("light", ALL), ("dark", COLOURS)):
                self.page.emulate_media(color_scheme=theme)
                found = axe.run(self.page, options={"resultTypes": ["violations"], **rules})
                self.assertEqual(found.violations_count, 0, f"{state}, {theme}:\n{found.generate_report()}")
            self.page.set_viewport_size(PHONE)
            wide, window = self.page.evaluate(WIDTHS)
            self.assertLessEqual(wide, window, state)
            self.page.set_viewport_size(DESK)

    def _states(self) -> Iterator[str]:
        """Each is on the page when its name comes."""
        page = self.page
        page.get_by_label("Password").wait_for()
        yield "login"
        self.log_in()
        page.get_by_role("heading", name="Nothing to see yet").wait_for()
        yield "empty"
        page.goto(f"{self.url}#/new")
        page.get_by_label("Filter", exact=True).select_option("threshold")
        page.get_by_role("button", name="Add another filter").click()
        page.get_by_label("Filter 2", exact=True).select_option("resize")
        yield "new workload"
        page.get_by_role("button", name="Remove filter 2").click()
        self.start_worker()
        pictures = [self.write(f"{number}.png", encoded(number, 64, 48)) for number in range(2)]
        pictures.append(self.write("broken.png", pictures[0].read_bytes()[:2000]))
        page.get_by_label("Choose files").set_input_files(pictures)
        page.get_by_role("slider", name="Border", exact=False).wait_for()
        yield "preview"
        page.get_by_role("button", name="Filter 3 images").click()
        page.get_by_text("2 of 3 done, 1 failed", exact=True).wait_for()
        page.get_by_role("region", name="1 image failed").wait_for()
        page.locator("img.there").nth(1).wait_for()
        yield "workload"
        page.get_by_role("button", name="0.png").click()
        page.get_by_role("dialog").get_by_role("slider").wait_for()
        yield "lightbox"
        page.keyboard.press("Escape")
        page.get_by_role("button", name="Delete").click()
        yield "question"
        page.keyboard.press("Escape")
        page.get_by_role("button", name="Select", exact=True).click()
        page.get_by_role("button", name="0.png").click()
        page.get_by_text("1 selected").wait_for()
        yield "selection"
        page.get_by_role("button", name="Copy as curl or dpip").click()
        page.get_by_role("heading", name="For a shell").wait_for()
        yield "commands"
        page.keyboard.press("Escape")
        page.goto(f"{self.url}#/activity")
        page.get_by_role("row").nth(3).wait_for()
        yield "activity"
        page.goto(f"{self.url}#/workers/w")
        page.get_by_text("joined address", exact=False).wait_for()
        yield "worker"
        for place in ("Workloads", "Workers", "Users"):
            page.get_by_role("navigation").get_by_role("link", name=place).click()
            page.get_by_role("heading", name=place, exact=True).wait_for()
            page.get_by_text(
                {"Workloads": "2 of 3 done", "Workers": "Joined", "Users": "(you)"}[place]
            ).first.wait_for()
            yield place
        page.locator("summary", has_text="Account of admin, and theme").click()
        yield "menu"
        page.get_by_role("link", name="Tokens").click()
        page.get_by_label("Name, for example of the program").fill("nightly")
        page.get_by_role("button", name="Create token").click()
        page.get_by_role("heading", name="The token nightly").wait_for()
        yield "tokens"
