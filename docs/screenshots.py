"""Makes the pictures of the page that the README shows: ``python docs/screenshots.py``, in the checkout.

The system runs on free ports with one worker, in a temporary directory; Chromium must be installed, and
``pip install -e '.[test]'``. ``--all`` writes a picture of every part of the page, for a phone too, into a
directory, to be looked at.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, sync_playwright

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE)]

from landscapes import landscape  # noqa: E402

from tests.system.processes import PASSWORD, Cluster, wait_until  # noqa: E402

COUNT = 72
BUSY_PERCENT = 60
DESK, PHONE = {"width": 1200, "height": 780}, {"width": 360, "height": 740}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--all", type=Path, metavar="DIRECTORY")
    everything: Path | None = parser.parse_args().all
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    with Cluster() as cluster, sync_playwright() as playwright:
        cluster.start_controller("--slots", "1", plugin="dpip").wait_for_log("Joined")
        browser = playwright.chromium.launch(executable_path=chromium)
        page = browser.new_page(base_url=f"http://127.0.0.1:{cluster.http}", viewport=DESK)
        page.goto("/")
        log_in(page)
        if everything is None:
            for_the_readme(page, write_pictures(cluster.directory))
        else:
            everything.mkdir(parents=True, exist_ok=True)
            tour(page, write_pictures(cluster.directory), everything)
        browser.close()


def write_pictures(directory: Path) -> list[Path]:
    paths = [directory / f"hills-{number:03}.jpg" for number in range(1, COUNT + 1)]
    for number, path in enumerate(paths):
        path.write_bytes(landscape(number, 1350, 900))
    paths[-1].write_bytes(paths[-1].read_bytes()[:40_000])
    return paths


def log_in(page: Page) -> None:
    page.get_by_label("User").fill("admin")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    page.get_by_role("heading", name="Workloads").wait_for()


def for_the_readme(page: Page, pictures: list[Path]) -> None:
    prepare(page, pictures)
    both(page, "page-preview")
    start(page, "Holiday in the hills")
    until_done(page, BUSY_PERCENT)
    both(page, "page-workload")


def prepare(page: Page, pictures: list[Path]) -> None:
    """A new workload with its preview."""
    page.goto("/#/new")
    page.get_by_label("Filter", exact=True).select_option("blur")
    page.get_by_label("Sigma").fill("9")
    page.get_by_label("Choose files").set_input_files(pictures)
    page.get_by_text("hills-001.jpg: ").wait_for()
    settle(page)


def start(page: Page, name: str) -> None:
    page.get_by_label("Name of the workload").fill(name)
    page.get_by_role("button", name=f"Filter {COUNT} images").click()
    page.get_by_role("heading", name=name).wait_for()


def until_done(page: Page, percent: int) -> None:
    done = "Number(document.querySelector('.state .progress').ariaValueNow)"
    wait_until(lambda: page.evaluate(done) >= percent, f"{percent} %")


def both(page: Page, name: str) -> None:
    """In the light and in the dark theme."""
    page.mouse.move(0, 0)
    page.evaluate("scrollTo(0, 0)")
    for theme in ("light", "dark"):
        page.emulate_media(color_scheme=theme)
        settle(page)
        page.screenshot(path=HERE / f"{name}-{theme}.jpg", type="jpeg", quality=84)


def settle(page: Page) -> None:
    loaded = "[...document.images].every(image => image.complete)"
    wait_until(lambda: page.evaluate(loaded), "the pictures")
    page.wait_for_timeout(350)  # of transitions


def tour(page: Page, pictures: list[Path], directory: Path) -> None:
    def shoot(name: str, **options: Any) -> None:
        for size, shape in (("desk", DESK), ("phone", PHONE)):
            page.set_viewport_size(shape)
            for theme in ("light", "dark"):
                page.emulate_media(color_scheme=theme)
                settle(page)
                page.screenshot(path=directory / f"{name}-{size}-{theme}.png", **options)
        page.set_viewport_size(DESK)

    shoot("empty")
    prepare(page, pictures)
    shoot("preview")
    start(page, "Holiday in the hills")
    until_done(page, 20)
    shoot("busy")
    page.get_by_text("Completed", exact=True).wait_for()
    shoot("finished")
    page.locator(".cell[data-state=done]").nth(3).click()
    page.get_by_role("dialog").get_by_role("slider").wait_for()
    shoot("lightbox")
    page.keyboard.press("Escape")
    for place in ("", "workers", "users", "tokens"):
        page.goto(f"/#/{place}")
        page.wait_for_timeout(1500)
        shoot(place or "list")


if __name__ == "__main__":
    main()
