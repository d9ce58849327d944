"""The page while the server is away, and after it."""

from __future__ import annotations

from typing import Any

from tests.frames import encoded
from tests.page.support import PageTest


class RecoveryTests(PageTest):
    def test_it_goes_on_by_itself_after_the_controller_was_killed(self) -> None:
        page = self.page
        self.log_in()
        page.goto(f"{self.url}#/new")
        pictures = [self.write(f"{number}.png", encoded(number, 64, 48)) for number in range(3)]
        page.get_by_label("Choose files").set_input_files(pictures)
        page.get_by_role("button", name="Filter 3 images").click()
        page.get_by_text("0 of 3 done").wait_for()
        page.get_by_text("Running", exact=True).wait_for()

        self.controller.kill()
        page.get_by_text("The server does not answer. Trying again…").wait_for()
        self.cluster.start_controller()
        page.get_by_text("The server does not answer. Trying again…").wait_for(state="hidden")
        page.get_by_text("0 of 3 done").wait_for()

        self.start_worker()
        page.get_by_text("3 images done", exact=True).wait_for()
        page.locator(".cell[data-state=done]").nth(2).wait_for()

    def test_an_upload_is_repeated_under_its_key_until_the_server_takes_it_and_keeps_its_order(self) -> None:
        page = self.page
        self.log_in()
        page.goto(f"{self.url}#/new")
        (self.cluster.directory / "film" / "more").mkdir(parents=True)
        pictures = [self.write(f"film/{number}.png", encoded(number, 64, 48)) for number in range(40)]
        pictures += [self.write(f"film/more/{number}.png", encoded(number, 64, 48)) for number in range(5)]
        page.get_by_label("Choose a folder").set_input_files(self.cluster.directory / "film")
        keys: list[str] = []

        def trouble(route: Any) -> None:
            keys.append(route.request.headers["idempotency-key"])
            if len(keys) == 1:
                route.abort("connectionreset")
            elif len(keys) == 2:
                route.fulfill(status=503, headers={"Retry-After": "1"}, json={"detail": "Busy just now."})
            else:
                route.continue_()

        page.get_by_text("Waiting: No worker has joined.").wait_for()  # the preview has been uploaded
        page.route("**/images", trouble)
        page.get_by_role("button", name="Filter 45 images").click()
        page.get_by_text("Busy just now. Trying again…").wait_for()
        self._expects_what_has_not_arrived()
        page.get_by_text("0 of 45 done").wait_for()
        self.assertEqual(len(keys), 5)  # three requests, the first of them three times
        self.assertEqual([keys.count(key) for key in dict.fromkeys(keys)], [3, 1, 1])
        workload = page.url.rpartition("/")[2]
        originals = self.ask(f"/images?workload_id={workload}&type=original").json()
        self.assertEqual(
            [image["name"] for image in originals],
            [str(path.relative_to(self.cluster.directory)) for path in pictures],
        )

    def _expects_what_has_not_arrived(self) -> None:
        """No time left is told of the few that have arrived; shares are of all."""
        told = self.page.evaluate(
            """async () => {
                const base = document.querySelector("script[type=module]").src.replace("app.js", "");
                const { expected, speed, ProgressBar } = await import(`${base}progress.js`);
                const { workloads } = await import(`${base}workloads.js`);
                const id = location.hash.split("/")[2];
                const counts = { accepted: 10, filtered: 9, failed: 0, running_jobs: 1 };
                const some = { workload_id: id, status: "running", ...counts, eta_seconds: 1 };
                const bar = new ProgressBar("Done");
                bar.update(some);
                const words = [expected(some), speed(some), bar.element.ariaValueText];
                workloads.paces.set(id, { perSecond: () => 2 });
                words.push(speed(some));
                workloads.paces.delete(id);
                return words;
            }"""
        )
        self.assertEqual(told, [45, "", "20 %", "2.0/s, about 18 s left"])
