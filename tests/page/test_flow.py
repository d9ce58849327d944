"""From logging in to logging out, as a person would."""

from __future__ import annotations

import re
from zipfile import ZipFile

from dpip.filters import process
from tests.frames import encoded
from tests.page.support import PageTest
from tests.system.processes import wait_until

NAMES = ("2.jpg", "10.jpg", "1.jpg")


class FlowTests(PageTest):
    def test_from_login_to_logout(self) -> None:
        self._logs_in()
        self._chooses_images()
        self._sees_what_the_filter_does()
        self._starts_and_watches()
        self._compares()
        self._reads_why_one_failed_and_tries_again()
        self._downloads_all()
        self._deletes()
        self._logs_out()

    def _logs_in(self) -> None:
        page = self.page
        self.log_in("wrong")
        page.get_by_role("alert").get_by_text("The user name or the password is wrong.").wait_for()
        self.log_in()
        page.get_by_role("heading", name="Nothing to see yet").wait_for()
        self.assertEqual(page.evaluate("document.cookie"), "")  # no script can read it
        [cookie] = page.context.cookies()
        self.assertEqual((cookie["httpOnly"], cookie["sameSite"]), (True, "Strict"))

    def _chooses_images(self) -> None:
        page = self.page
        self.data = {name: encoded(number, 320, 200, "JPEG") for number, name in enumerate(NAMES)}
        paths = [self.write(name, data) for name, data in self.data.items()]
        broken = self.write("broken.jpg", self.data["1.jpg"][:3000])
        notes = self.write("notes.txt", b"not a picture")
        page.get_by_role("link", name="Filter some images").click()
        page.get_by_label("Choose files").set_input_files([*paths, broken, notes])
        page.get_by_text("1 file left out").wait_for()
        page.get_by_role("button", name="Filter 4 images").wait_for()

    def _sees_what_the_filter_does(self) -> None:
        """Nobody can do it yet, and the page says so; then a worker joins."""
        page = self.page
        page.get_by_label("Filter", exact=True).select_option("blur")
        page.get_by_label("Sigma").fill("8")
        page.get_by_text("Waiting: No worker has joined.").wait_for()
        self.start_worker()
        slider = page.get_by_role("slider", name=re.compile("Border between before and after"))
        slider.wait_for()
        page.get_by_text("1.jpg: ").wait_for()
        self._moves(slider)
        wait_until(lambda: self.ask("/workloads").json() == [], "the end of the preview's workload")

    def _moves(self, slider: object) -> None:
        border = "getComputedStyle(document.querySelector('.compare')).getPropertyValue('--at')"
        slider.focus()  # type: ignore[attr-defined]
        self.page.keyboard.press("ArrowRight")
        self.assertEqual(self.page.evaluate(border), "51%")
        self.page.keyboard.press("Home")
        self.assertEqual(self.page.evaluate(border), "0%")

    def _starts_and_watches(self) -> None:
        page = self.page
        page.get_by_label("Name of the workload").fill("holiday")
        page.get_by_role("button", name="Filter 4 images").click()
        page.get_by_role("heading", name="holiday").wait_for()
        page.get_by_text("3 of 4 done, 1 failed", exact=True).wait_for()
        page.get_by_text("Completed", exact=True).wait_for()
        page.locator(".cell[data-state=done] img.there").nth(2).wait_for()
        captions = page.locator(".cell .caption").all_inner_texts()
        self.assertEqual(captions, ["1.jpg", "2.jpg", "10.jpg", "broken.jpg"])
        workload = page.url.rpartition("/")[2]
        for image in self.ask(f"/images?workload_id={workload}").json():
            result = self.ask(f"/images/{image['image_id']}").body()
            self.assertEqual(result, process(self.data[image["name"]], "blur", {"sigma": 8}).data)

    def _compares(self) -> None:
        """By keys alone."""
        page = self.page
        page.get_by_role("button", name="1.jpg", exact=True).focus()
        page.keyboard.press("ArrowRight")
        page.keyboard.press("Enter")
        page.get_by_role("dialog", name="2.jpg").wait_for()
        self._moves(page.get_by_role("slider"))
        page.keyboard.press("n")
        page.get_by_role("dialog", name="10.jpg").wait_for()
        with page.expect_download() as download:
            page.get_by_role("link", name="Download original of 10.jpg").click()
        self.assertEqual(download.value.path().read_bytes(), self.data["10.jpg"])
        self.assertEqual(download.value.suggested_filename, "10.jpg")
        page.keyboard.press("Escape")
        page.locator(".cell:focus").get_by_text("10.jpg").wait_for()  # a moment after the dialog has closed

    def _reads_why_one_failed_and_tries_again(self) -> None:
        failures = self.page.get_by_role("region", name="1 image failed")
        failures.get_by_text("The picture is damaged or cut short", exact=False).wait_for()
        failures.get_by_role("button", name="broken.jpg").click()
        self.page.get_by_role("dialog").get_by_text(
            "It failed: The picture is damaged", exact=False
        ).wait_for()
        self.page.keyboard.press("Escape")

        with self.page.expect_response("**/retry") as retried:
            failures.get_by_role("button", name="Try again").click()
        self.assertEqual(retried.value.json()["retried"], 1)
        self.page.get_by_text("3 of 4 done, 1 failed", exact=True).wait_for()

    def _downloads_all(self) -> None:
        with self.page.expect_download() as download:
            self.page.get_by_role("link", name="Download all").click()
        self.assertEqual(download.value.suggested_filename, "holiday.zip")
        with ZipFile(download.value.path()) as archive:
            self.assertEqual(archive.namelist(), ["1.jpg", "2.jpg", "10.jpg"])
            for name in archive.namelist():
                self.assertEqual(archive.read(name), process(self.data[name], "blur", {"sigma": 8}).data)

    def _deletes(self) -> None:
        page = self.page
        page.get_by_role("button", name="Delete").click()
        page.get_by_role("dialog").get_by_role("button", name="Delete").click()
        page.get_by_role("heading", name="Nothing to see yet").wait_for()
        self.assertEqual(self.ask("/workloads").json(), [])

    def _logs_out(self) -> None:
        page = self.page
        page.get_by_label("Account of admin, and theme").click()
        page.get_by_role("button", name="Log out").click()
        page.get_by_label("Password").wait_for()
        self.assertEqual(page.context.cookies(), [])
        self.assertEqual(self.ask("/status").status, 401)
        page.reload()
        page.get_by_role("button", name="Log in").wait_for()
