"""``dpip run`` as a process of its own, on this machine and with a server."""

from __future__ import annotations

import json
import os
import shutil
import signal
from pathlib import Path
from typing import Any

from PIL import Image

from tests.command.test_demo import DPIP, PATIENCE, RUN, ProcessTestCase
from tests.frames import encoded
from tests.system.processes import PASSWORD, Cluster


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


class RunTestCase(ProcessTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.environment["DPIP_CONFIG_DIR"] = str(self.folder / "config")
        self.photos = self.folder / "photos"
        (self.photos / "sub").mkdir(parents=True)
        for number in range(6):
            name = self.photos / ("sub" if number % 2 else "") / f"{number}.jpg"
            name.write_bytes(encoded(number, 160, 120, "JPEG"))

    @property
    def results(self) -> list[str]:
        out = self.folder / "out"
        return sorted(
            str(path.relative_to(out)) for path in out.rglob("*") if path.is_file() and path.name[0] != "."
        )


class RunTests(RunTestCase):
    def test_a_folder_with_a_bad_picture_and_a_text_in_it(self) -> None:
        (self.photos / "broken.jpg").write_bytes(encoded(1, 320, 240, "JPEG")[:4000])
        (self.photos / "0.png").write_bytes(encoded(1, 20, 10))
        (self.photos / "notes.txt").write_text("notes")
        left = self.folder / "out" / ".dpip-run-left" / "1.out"  # by one that was killed
        left.parent.mkdir(parents=True)
        left.touch()
        code, out, err = self.run_it(
            *DPIP, "run", "photos", "-o", "out", "--filter", "resize", "--width", "80", "--format", "png"
        )
        self.assertEqual(code, 3, out + err)
        self.assertNotIn("Error", err)
        self.assertRegex(out, r"^7 images done in \d+:\d\d \([\d.]+ images/s\), written to .*/out\n")
        self.assertIn("1 image got a number in the name, as the name was taken\n", out)
        self.assertIn("1 image failed:\n  broken.jpg: The picture is damaged", out)
        self.assertIn("1 skipped, not an image: notes.txt\n", out)
        names = ["0-2.png", "0.png", "2.png", "4.png", "sub/1.png", "sub/3.png", "sub/5.png"]
        self.assertEqual(self.results, names)
        for name in names:
            with Image.open(self.folder / "out" / name) as picture:
                self.assertEqual((picture.format, picture.width), ("PNG", 80))
        hidden = [path.name for path in (self.folder / "out").iterdir() if path.name.startswith(".")]
        self.assertEqual((hidden, list(self.temporary.iterdir())), ([".dpip-run.jsonl"], []))

        code, out, err = self.run_it(*RUN, "photos/0.png", "-o", "out", "--resume")
        self.assertEqual((code, out), (2, ""), err)
        self.assertIn("is of", err)
        (self.photos / "broken.jpg").unlink()
        (self.photos / "new.jpg").write_bytes(encoded(7, 160, 120, "JPEG"))
        code, out, err = self.run_it(*RUN, "-o", "out", "--resume", "--json")
        self.assertEqual(code, 0, out + err)
        *ended, summary = lines(out)
        self.assertEqual(
            [(each["status"], Path(each["file"]).name) for each in ended][-1], ("done", "new.jpg")
        )
        self.assertEqual((summary["done"], summary["failed"], summary["finished_earlier"]), (1, 0, 7))

    def test_no_image(self) -> None:
        shutil.rmtree(self.photos)
        self.photos.mkdir()
        code, out, err = self.run_it(*RUN, "photos", "-o", "out", "--filter", "grayscale")
        self.assertEqual((code, out, err), (0, "No images were found.\n", ""))

    def test_wrong_usage_says_what_is_right(self) -> None:
        for arguments, words in (
            (("photos", "-o", "out"), "Name a filter"),
            (("-o", "out", "-f", "blur"), "Name the files"),
            (("photos", "-o", "out", "-f", "blurr"), "Known filters: grayscale, blur"),
            (("photos", "-o", "out", "-f", "blur", "--sigma", "1000"), "from 0.3 to 100"),
            (("photos", "-o", "out", "-f", "blur", "--quality", "0"), "from 1 to 100"),
            (("gone", "-o", "out", "-f", "blur"), "gone"),
            (("-o", "out", "--resume"), "no run to resume"),
            (("photos", "-o", "out.png", "-f", "blur"), "looks like a file"),
            (("photos", "-o", "out", "-f", "blur", "--server", "localhost"), "http://127.0.0.1:8080"),
        ):
            with self.subTest(arguments=arguments):
                code, out, err = self.run_it(*RUN, *arguments)
                self.assertEqual((code, out), (2, ""), err)
                self.assertRegex(err, r"^Usage: .*\nError: .*\n$")
                self.assertIn(words, err)
                self.assertFalse((self.folder / "out").exists())

    def test_ctrl_c_and_on_again(self) -> None:
        data = [encoded(number, 1280, 720, "JPEG") for number in range(4)]
        for number in range(100):
            (self.photos / f"large-{number}.jpg").write_bytes(data[number % 4])
        process = self.start(*RUN, "photos", "-o", "out", "--filter", "blur", "--json")
        assert process.stdout is not None
        self.assertIn('"status": "done"', process.stdout.readline())
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=PATIENCE)
        self.assertEqual(process.returncode, 130, err)
        self.assertIn("Go on with: dpip run -o out --resume\n", err)
        hidden = [path.name for path in (self.folder / "out").iterdir() if path.name.startswith(".")]
        self.assertEqual(hidden, [".dpip-run.jsonl"])
        before = {name: (self.folder / "out" / name).stat().st_mtime_ns for name in self.results}
        self.assertGreater(len(before), 0)
        self.assertEqual(list(self.temporary.iterdir()), [])
        code, out, err = self.run_it(*RUN, "-o", "out", "--resume", "--json")
        self.assertEqual(code, 0, err)
        summary = lines(out)[-1]
        self.assertEqual((summary["done"], summary["finished_earlier"]), (106 - len(before), len(before)))
        self.assertEqual(len(self.results), 106)
        for name, changed in before.items():
            self.assertEqual((self.folder / "out" / name).stat().st_mtime_ns, changed)

    def test_a_server_that_is_not_there(self) -> None:
        self.environment["DPIP_TOKEN"] = "T"
        code, out, err = self.run_it(
            *RUN, "photos", "-o", "out", "-f", "blur", "--server", "http://127.0.0.1:9"
        )
        self.assertEqual((code, out), (4, ""), err)
        self.assertIn("No answer from http://127.0.0.1:9", err)
        self.assertFalse((self.folder / "out").exists(), "nothing came of it")

    def test_what_cannot_be_printed_is_told_in_a_sentence(self) -> None:
        if not os.path.exists("/dev/full"):
            self.skipTest("this system has no device that is always full")
        into_it = ("sh", "-c", 'exec "$@" > /dev/full', "sh")
        code, _, err = self.run_it(*into_it, *RUN, "photos", "-o", "out", "-f", "invert")
        self.assertEqual((code, err.splitlines()[-1]), (1, "Error: No space left on device."))

    def test_a_full_disk(self) -> None:
        out = self.folder / "out"
        out.mkdir()
        (out / "sub").write_text("where a folder should be")
        code, _, err = self.run_it(*RUN, "photos", "-o", "out", "-f", "grayscale")
        self.assertEqual(code, 1, err)
        self.assertRegex(err, r"Error: sub/\d.jpg could not be written to .*/out: .*go on with --resume\.\n$")
        (out / "sub").unlink()
        code, _, err = self.run_it(*RUN, "-o", "out", "--resume")
        self.assertEqual((code, len(self.results)), (0, 6), err)


class ServerTests(RunTestCase):
    def test_the_controller_is_killed_half_way(self) -> None:
        data = [encoded(number, 1280, 720, "JPEG") for number in range(4)]
        for number in range(60):
            (self.photos / f"large-{number}.jpg").write_bytes(data[number % 4])
        with Cluster() as cluster:
            controller = cluster.start_controller()
            cluster.start_worker("w", "--slots", "1")
            server = f"http://127.0.0.1:{cluster.http}"
            self.environment |= {"DPIP_SERVER": server, "DPIP_TOKEN": token(server)}
            process = self.start(*RUN, "photos", "-o", "out", "--filter", "blur", "--json")
            assert process.stdout is not None
            self.assertIn('"status": "done"', process.stdout.readline())
            controller.kill()
            cluster.start_controller()
            out, err = process.communicate(timeout=PATIENCE)
        self.assertEqual(process.returncode, 0, err)
        self.assertEqual((lines(out)[-1]["done"], len(self.results)), (66, 66))
        self.assertEqual(err.count("Trying again for up to 5:00."), 1, err)


def token(server: str) -> str:
    """Of the admin."""
    from base64 import b64encode
    from urllib.request import Request, urlopen

    basic = b64encode(f"admin:{PASSWORD}".encode()).decode()
    request = Request(f"{server}/login", method="POST", headers={"Authorization": f"Basic {basic}"})
    with urlopen(request) as answer:
        return str(json.load(answer)["token"])
