"""From logging in to logging out, as a person would."""

from __future__ import annotations

import re
import shlex
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
        self._finds_and_selects()
        self._downloads_all()
        self._begins_the_same_again_and_keeps_it_as_a_preset()
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
        again = self.write("again.jpg", self.data["1.jpg"])
        notes = self.write("notes.txt", b"not a picture")
        page.get_by_role("link", name="Filter some images").click()
        page.get_by_label("Choose files").set_input_files([*paths, broken, again, notes])
        page.get_by_text("1 file left out").wait_for()
        page.locator("details", has_text="left out").locator("summary").click()
        page.get_by_role("listitem").filter(has_text="notes.txt").get_by_text(
            "No picture, by its name."
        ).wait_for()
        page.locator("summary", has_text="All files, by name").click()
        page.get_by_role("button", name="Remove again.jpg").click()
        page.get_by_role("button", name="Filter 4 images").wait_for()

    def _sees_what_the_filter_does(self) -> None:
        """Nobody can do it yet, and the page says so; then a worker joins."""
        page = self.page
        page.get_by_label("Filter", exact=True).select_option("blur")
        page.get_by_label("Sigma").fill("8")
        page.get_by_text("Waiting: No worker has joined.").wait_for()
        self.start_worker()
        self._sees_why_there_is_no_preview()
        slider = page.get_by_role("slider", name=re.compile("Border between before and after"))
        slider.wait_for()
        page.get_by_text("1.jpg: ").wait_for()
        self._moves(slider)
        wait_until(lambda: self.ask("/workloads").json() == [], "the end of the preview's workload")

    def _sees_why_there_is_no_preview(self) -> None:
        """Nothing of an earlier filter stays beside the reason."""
        page = self.page
        page.get_by_text("1.jpg: ").wait_for()
        page.get_by_label("Preview broken.jpg").click()
        page.get_by_text("The picture is damaged or cut short", exact=False).wait_for()
        self.assertEqual(page.locator(".compare").count(), 0)
        page.get_by_label("Preview 1.jpg").click()
        page.locator(".compare").wait_for()
        page.get_by_label("Sigma").fill("0")
        page.get_by_text("Sigma: Value must be", exact=False).wait_for()
        self.assertEqual(page.locator(".compare").count(), 0)
        page.get_by_label("Sigma").fill("8")

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
            page.get_by_role("link", name="Original, 320 × 200").click()
        self.assertEqual(download.value.path().read_bytes(), self.data["10.jpg"])
        self.assertEqual(download.value.suggested_filename, "10.jpg")
        page.keyboard.press("Escape")
        page.locator(".cell:focus").get_by_text("10.jpg").wait_for()  # a moment after the dialog has closed
        self._goes_back_from_the_large_picture()

    def _goes_back_from_the_large_picture(self) -> None:
        """It has an address, which can be sent to somebody; *Back* closes it, and leaves what is under it."""
        page = self.page
        below = page.url
        page.get_by_role("button", name="2.jpg", exact=True).click()
        page.get_by_role("dialog", name="2.jpg").get_by_role("button", name="100 %").click()
        self.assertEqual(page.evaluate("document.querySelector('.sheet').offsetWidth"), 320)
        self.assertEqual(page.url, f"{below}/1")
        page.go_back()
        page.locator(".cell:focus").get_by_text("2.jpg").wait_for()
        page.goto(f"{below}/2")
        page.reload()
        page.get_by_role("dialog", name="10.jpg").wait_for()
        page.get_by_role("button", name="Close").click()
        page.locator(".cell:focus").get_by_text("10.jpg").wait_for()
        self.assertEqual(page.url, below)

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

    def _finds_and_selects(self) -> None:
        page = self.page
        page.get_by_label("Order").select_option("-name")
        page.get_by_label("Find images by name").fill("0.jp")
        page.get_by_text("1 image shown").wait_for()
        page.get_by_label("Find images by name").fill("")
        page.get_by_text("4 images shown").wait_for()
        captions = page.locator(".cell .caption")
        self.assertEqual(captions.all_inner_texts(), ["broken.jpg", "10.jpg", "2.jpg", "1.jpg"])
        page.get_by_role("button", name="Select", exact=True).click()
        page.get_by_role("button", name="10.jpg", exact=True).click()
        page.get_by_role("button", name="1.jpg", exact=True).click(modifiers=["Shift"])
        page.get_by_text("3 selected").wait_for()
        page.get_by_role("button", name="2.jpg", exact=True).click()
        with page.expect_download() as download:
            page.get_by_role("link", name="Download", exact=True).click()
        with ZipFile(download.value.path()) as archive:
            self.assertEqual(archive.namelist(), ["1.jpg", "10.jpg"])
        page.get_by_role("button", name="Select", exact=True).click()
        page.get_by_label("Failed only").check()
        page.get_by_text("1 image shown").wait_for()
        page.get_by_role("button", name="Select", exact=True).click()
        page.get_by_role("button", name="All", exact=True).click()
        with page.expect_response("**/retry") as retried:
            page.get_by_role("button", name="Try 1 again").click()
        self.assertEqual(retried.value.json()["retried"], 1)
        page.get_by_text("3 of 4 done, 1 failed", exact=True).wait_for()
        page.get_by_label("Failed only").uncheck()

    def _begins_the_same_again_and_keeps_it_as_a_preset(self) -> None:
        page = self.page
        place = page.url
        page.get_by_role("button", name="Copy as curl or dpip").click()
        page.get_by_role("dialog").get_by_text("--filter blur").wait_for()
        command = page.get_by_role("region", name="As dpip").locator("pre").inner_text()
        self.assertEqual(shlex.split(command.replace("\\\n", " "))[-4:], ["--filter", "blur", "--sigma", "8"])
        page.get_by_role("button", name="Close").click()
        page.get_by_role("button", name="Same again").click()
        self.assertEqual(page.get_by_label("Sigma").input_value(), "8")
        page.get_by_role("button", name="Save as a preset").click()
        page.get_by_role("dialog").get_by_label("Name").fill("soft")
        page.get_by_role("dialog").get_by_role("button", name="Save").click()
        page.get_by_text("soft is saved.").wait_for()
        self.assertEqual(self.ask("/presets/soft").json()["steps"], [{"name": "blur", "sigma": 8.0}])
        page.get_by_label("Sigma").fill("3")
        page.get_by_label("Preset", exact=True).select_option("none")
        page.get_by_label("Preset", exact=True).select_option("soft")
        self.assertEqual(page.get_by_label("Sigma").input_value(), "8")
        page.goto(place)
        page.get_by_role("heading", name="holiday").wait_for()

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
        other = page.context.new_page()
        other.goto(self.url)
        other.get_by_role("heading", name="Workloads").wait_for()
        page.locator("summary", has_text="Account of admin, and theme").click()
        page.get_by_role("button", name="Log out").click()
        other.get_by_text("You have logged out in another tab.").wait_for()
        self.assertEqual(other.locator("#connection").inner_text(), "")
        other.close()
        page.get_by_label("Password").wait_for()
        self.assertEqual(page.context.cookies(), [])
        self.assertEqual(self.ask("/status").status, 401)
        page.reload()
        page.get_by_role("button", name="Log in").wait_for()
