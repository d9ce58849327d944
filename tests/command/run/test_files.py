"""What a run is made of: files found, names given, a journal kept."""

from __future__ import annotations

import errno
import io
import json
import os
import tempfile
from contextlib import closing, redirect_stdout
from pathlib import Path
from unittest import mock

import click
from twisted.trial.unittest import SynchronousTestCase

from dpip.client import Fetched
from dpip.command.run.destinations import place, with_suffix_for
from dpip.command.run.inputs import Inputs
from dpip.command.run.journal import FileState, Journal, RunTask, results_in
from dpip.command.run.report import RunReport
from tests.frames import encoded

PICTURE = encoded(1, 8, 6)


class FolderTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.folder = Path(self.enterContext(tempfile.TemporaryDirectory(prefix="dpip-test-")))

    def write(self, *names: str, data: bytes = PICTURE) -> None:
        for name in names:
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)


class InputsTests(FolderTestCase):
    def found(self, *named: str, output: str = "out") -> dict[str, str]:
        paths = [str(self.folder / each) for each in named]
        return {str(each.name): each.skip for each in Inputs(paths, self.folder / output)}

    def test_a_folder_keeps_its_structure(self) -> None:
        self.write("photos/b.png", "photos/a/c.png", "photos/a.png")
        self.assertEqual(self.found("photos"), {"a/c.png": "", "a.png": "", "b.png": ""})

    def test_several_folders_keep_their_names(self) -> None:
        self.write("one/a.png", "two/a.png")
        self.assertEqual(self.found("one", "two"), {"one/a.png": "", "two/a.png": ""})

    def test_what_looks_like_a_picture_is_not_passed_over(self) -> None:
        """By content or by name: it fails in its turn, with words on what it is."""
        self.write("photos/scan.dat", data=b"8BPS\0\1" + bytes(50))
        self.write("photos/empty.jpg", data=b"")
        self.write("photos/page.jpg", data=b"<!DOCTYPE html>404")
        self.write("photos/x.psd", "photos/sky.fits", data=b"notes")
        self.write("photos/IMG_1.HEIC", data=b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(500))
        self.assertEqual(set(self.found("photos").values()), {""})
        self.assertEqual(len(self.found("photos")), 6)

    def test_litter_of_operating_systems_passes_quietly(self) -> None:
        self.write("photos/a.png", "photos/._real.png")
        self.write("photos/Thumbs.db", "photos/.DS_Store", "photos/desktop.ini", data=b"\xd0\xcf\x11\xe0")
        self.write("photos/._a.png", data=b"\0\5\x16\7" + bytes(50))
        self.assertEqual(self.found("photos"), {"a.png": ""})
        self.assertEqual(
            self.found("photos/._a.png", "photos/Thumbs.db", "photos/._real.png"), {"._real.png": ""}
        )

    def test_what_is_no_image_is_told_and_what_is_hidden_is_not(self) -> None:
        self.write("photos/a.png", "photos/.cache/b.png", "photos/.c.png")
        self.write("photos/notes.txt", data=b"notes")
        self.write("photos/clip.mp4", data=b"film")
        self.write("photos/cut.png", data=PICTURE[:20])
        self.assertEqual(
            self.found("photos"),
            {
                "a.png": "",
                "clip.mp4": "a film: name it to have its frames filtered",
                "cut.png": "",
                "notes.txt": "not an image",
            },
        )

    def test_results_within_the_folder_are_not_filtered_again(self) -> None:
        self.write("photos/a.png", "photos/out/a.png")
        self.assertEqual(self.found("photos", output="photos/out"), {"a.png": ""})

    def test_a_pattern_names_from_its_first_wildcard(self) -> None:
        self.write("scans/2020/a.png", "scans/2021/b.png", "scans/2021/c.jpg")
        self.assertEqual(self.found("scans/**/*.png"), {"2020/a.png": "", "2021/b.png": ""})

    def test_a_file_whose_name_looks_like_a_pattern(self) -> None:
        self.write("a[1].png")
        self.assertEqual(self.found("a[1].png"), {"a[1].png": ""})

    def test_a_link_to_a_folder_is_not_followed(self) -> None:
        self.write("photos/a.png")
        (self.folder / "photos" / "again").symlink_to(self.folder / "photos")
        (self.folder / "photos" / "gone.png").symlink_to(self.folder / "nowhere")
        self.assertEqual(
            self.found("photos"), {"a.png": "", "again": "links to folders", "gone.png": "not a regular file"}
        )

    def test_results_of_earlier_runs_are_no_input_wherever_they_are(self) -> None:
        """Beside their originals, in a folder of their own, named by a shell or by a pattern."""
        self.write(
            "photos/a.png", "photos/a-2.png", "photos/web/a.png", "photos/web/mine.png", "photos/b/c.png"
        )
        for folder, result in (("photos", "a-2.png"), ("photos/web", "a.png")):
            with closing(Journal.opened(self.folder / folder, JournalTests.task, False)) as journal:
                journal.finished("a", journal.folder / result, len(PICTURE))
        originals = [
            "a-2.png",
            "a.png",
            "b/c.png",
            "web/mine.png",
        ]  # the named folder's own results are wanted
        self.assertEqual(self.originals("photos"), originals)
        self.assertEqual(self.originals("photos/**/*.png"), originals)
        self.assertEqual(self.originals("photos/web"), ["a.png", "mine.png"])

        self.assertEqual(self.originals("photos", output="photos"), ["a.png", "b/c.png", "web/mine.png"])
        self.assertEqual(
            self.originals("photos/a.png", "photos/b", "photos/web", output="photos/web"),
            ["a.png", "b/c.png", "web/mine.png"],
        )
        self.assertEqual(self.originals("photos/a-2.png", output="photos"), [])
        self.assertEqual(
            self.originals("photos/**/*.png", output="photos/web"), ["a-2.png", "a.png", "b/c.png"]
        )

    def originals(self, *named: str, output: str = "out") -> list[str]:
        paths, folder = [str(self.folder / each) for each in named], self.folder / output
        results = {os.path.realpath(path) for path in results_in(str(folder))}
        inputs = Inputs(paths, folder, lambda path: os.path.realpath(path) in results)
        return sorted(str(each.name) for each in inputs if not each.skip)

    def test_a_file_is_filtered_once_however_often_it_is_named(self) -> None:
        self.write("photos/sub/a.png")
        self.assertEqual(
            self.found("photos", "photos/sub"), {"photos/sub/a.png": "", "sub/a.png": "named twice"}
        )

    def test_what_is_no_file_is_never_opened(self) -> None:
        os.mkfifo(self.folder / "pipe.png")
        self.assertEqual(self.found("pipe.png"), {"pipe.png": "not a regular file"})

    def test_what_is_not_there_is_named(self) -> None:
        for name in ("gone.png", "gone/*.png"):
            inputs = Inputs([str(self.folder / name)], self.folder)
            self.assertIn(name, str(self.assertRaises(click.UsageError, inputs.check)))


class PlacingTests(FolderTestCase):
    def placed(self, name: str) -> str:
        part = self.folder / ".part"
        part.write_bytes(b"new")
        written = place(part, self.folder / name)
        self.assertEqual(written.read_bytes(), b"new")
        self.assertFalse(part.exists())
        return str(written.relative_to(self.folder))

    def test_never_over_another_file(self) -> None:
        self.assertEqual(
            [self.placed("sub/a.png") for _ in range(3)], ["sub/a.png", "sub/a-2.png", "sub/a-3.png"]
        )
        self.assertEqual([self.placed("b-2.png") for _ in range(2)], ["b-2.png", "b-2-2.png"])

    def test_without_hard_links(self) -> None:
        with mock.patch("os.link", side_effect=OSError(errno.EPERM, "not permitted")):
            self.assertEqual([self.placed("a.png") for _ in range(2)], ["a.png", "a-2.png"])

    def test_the_extension_tells_the_format(self) -> None:
        for name, kind, wanted in (
            ("a.JPEG", "image/jpeg", "a.JPEG"),
            ("a.jpg", "image/png", "a.png"),
            ("a.tif", "image/tiff", "a.tif"),
            ("v1.2", "image/png", "v1.2.png"),
            ("a.raw", "application/x-new", "a.raw"),
        ):
            self.assertEqual(str(with_suffix_for(Path(name), kind)), wanted)


class JournalTests(FolderTestCase):
    task = RunTask(["/photos"], [{"name": "blur", "sigma": 5.0}], {"format": None}, None)

    def opened(self, task: RunTask | None = None, resume: bool = False) -> Journal:
        journal = Journal.opened(self.folder, task, resume)
        self.addCleanup(journal.close)
        return journal

    def test_what_happened_is_known_to_the_next_run(self) -> None:
        first = self.opened(self.task)
        first.uploaded("a", "w1", 0)
        first.uploaded("b", "w1", 1)
        first.failed("b", "corrupt-picture", "It is cut short.")
        self.write("a.png")
        first.uploaded("c", "w1", 2)
        first.finished("a", self.folder / "a.png", len(PICTURE))
        first.close()
        again = self.opened(resume=True)
        self.assertEqual((again.task, again.run), (self.task, first.run))
        self.assertEqual(again.past("a").result, "a.png")
        self.assertEqual((again.past("b").taken, again.past("b").failures), (None, 1))
        self.assertEqual(again.past("c").taken, ("w1", 2))
        self.assertIsNone(again.past("d").taken)

    def test_a_result_that_is_not_whole_is_not_finished(self) -> None:
        first = self.opened(self.task)
        self.write("a.png", data=b"")
        first.finished("a", self.folder / "a.png", len(PICTURE))
        first.finished("b", self.folder / "b.png", 7)
        first.close()
        again = self.opened(resume=True)
        self.assertEqual((again.past("a").result, again.past("b").result), (None, None))

    def test_a_line_cut_short_by_a_crash_costs_that_line_alone(self) -> None:
        first = self.opened(self.task)
        self.write("a.png", "b.png")
        first.finished("a", self.folder / "a.png", len(PICTURE))
        first.close()
        path = self.folder / ".dpip-run.jsonl"
        with path.open("ab") as file:
            file.write(b'{"ok":"c","t\xff\x00')
        second = self.opened(resume=True)
        second.finished("b", self.folder / "b.png", len(PICTURE))
        second.close()
        third = self.opened(resume=True)
        self.assertEqual([third.past(name).result for name in "abc"], ["a.png", "b.png", None])

    def test_an_unfinished_run_is_not_forgotten_by_mistake(self) -> None:
        first = self.opened(self.task)
        first.uploaded("a", "w1", 0)
        first.close()
        other = RunTask(["/scans"], self.task.steps, self.task.output, None)
        error = self.assertRaises(click.UsageError, Journal.opened, self.folder, other, False)
        self.assertIn("--resume", str(error))
        second = self.opened(self.task, resume=True)
        second.end()
        second.close()
        self.assertNotEqual(self.opened(self.task).run, first.run)

    def test_the_same_command_goes_on_with_an_unfinished_run(self) -> None:
        first = self.opened(RunTask(["/a", "/b"], self.task.steps, self.task.output, None))
        first.uploaded("a", "w1", 0)
        first.close()
        again = self.opened(RunTask(["/b", "/a"], self.task.steps, self.task.output, None))
        self.assertEqual((again.run, again.past("a").taken), (first.run, ("w1", 0)))

    def test_a_next_run_knows_the_results_of_all_before(self) -> None:
        self.write("a.png", "g.png", "gone.png")
        other = RunTask(["/photos"], [{"name": "grayscale"}], {"format": None}, None)
        state = FileState(7, 8, "hash")
        for task, name in ((self.task, "a.png"), (other, "g.png"), (other, "gone.png")):
            journal = self.opened(task)
            journal.finished("photo", self.folder / name, len(PICTURE), (), state, "1.0")
            journal.end()
            journal.close()
        (self.folder / "gone.png").unlink()
        third = self.opened(self.task)
        past = third.past("photo")
        self.assertEqual((past.result, past.source, past.engine), ("a.png", state, "1.0"))
        self.assertEqual(third.replaceable("photo"), self.folder / "a.png")
        self.assertTrue(third.has_result(self.folder / "g.png"))
        self.assertFalse(third.is_of_this_run(self.folder / "a.png"))
        third.end()
        third.close()
        self.assertIsNone(self.opened(other).past("photo").result)

    def test_what_others_have_changed_since_is_not_replaced(self) -> None:
        self.write("a.png")
        first = self.opened(self.task)
        first.finished("photo", self.folder / "a.png", len(PICTURE))
        first.end()
        first.close()
        os.utime(self.folder / "a.png", (1, 1))
        self.assertIsNone(self.opened(self.task).replaceable("photo"))

    def test_journals_of_the_version_before_are_understood(self) -> None:
        task = {"inputs": ["/photos"], "steps": self.task.steps, "output": self.task.output, "server": None}
        lines = [{"version": 1, "run": "r", "task": task}, {"ok": "a", "to": "a.png", "size": len(PICTURE)}]
        self.write("a.png")
        self.write(".dpip-run.jsonl", data="".join(json.dumps(line) + "\n" for line in lines).encode())
        journal = self.opened(resume=True)
        self.assertEqual((journal.run, journal.past("a").result), ("r", "a.png"))

    def test_wrong_usage_makes_no_folder(self) -> None:
        folder = self.folder / "new"
        self.assertRaises(click.UsageError, Journal.opened, folder, None, True)
        self.assertFalse(folder.exists())

    def test_another_task_is_not_a_resumed_one(self) -> None:
        self.opened(self.task).close()
        other = RunTask(["/photos"], [{"name": "grayscale"}], {"format": None}, None)
        error = self.assertRaises(click.UsageError, Journal.opened, self.folder, other, True)
        self.assertIn("blur sigma=5.0, on this machine, and not grayscale", str(error))

    def test_nothing_to_resume(self) -> None:
        error = self.assertRaises(click.UsageError, Journal.opened, self.folder, None, True)
        self.assertIn("no run to resume", str(error))

    def test_two_runs_at_once(self) -> None:
        self.opened(self.task)
        error = self.assertRaises(click.ClickException, Journal.opened, self.folder, self.task, True)
        self.assertIn("Another run", str(error))

    def test_where_nothing_can_be_written(self) -> None:
        self.write("file")
        error = self.assertRaises(
            click.ClickException, Journal.opened, self.folder / "file", self.task, False
        )
        self.assertIn("Name another folder", str(error))

    def test_a_full_disk_is_told(self) -> None:
        journal = self.opened(self.task)
        with mock.patch("os.write", side_effect=OSError(errno.ENOSPC, "No space left on device")):
            error = self.assertRaises(click.ClickException, journal.uploaded, "a", "w1", 0)
        self.assertIn("No space left on device. Put that right", error.message)

    def test_leftovers_of_a_crash_are_swept_away(self) -> None:
        first = self.opened(self.task)
        part = first.part()
        part.write_bytes(b"half")
        (part.with_name(f".{part.name}.7.part")).write_bytes(b"half")
        first.close()
        self.opened(resume=True)
        self.assertEqual([each.name for each in self.folder.iterdir()], [".dpip-run.jsonl"])

    def test_keys_differ_where_uploads_do(self) -> None:
        journal = self.opened(self.task)
        keys = [journal.key("a", 0, 5, 7), journal.key("a", 1, 5, 7), journal.key("a", 0, 6, 7)]
        self.assertEqual(len({*keys, journal.key("b", 0, 5, 7)}), 4)
        self.assertEqual(journal.key("a", 0, 5, 7), keys[0])


class ReportTests(FolderTestCase):
    def test_notices_are_told_once_with_the_first_names(self) -> None:
        report = RunReport(self.folder, as_json=False)
        for number in range(5):
            fetched = Fetched(1, "0", "image/tiff", ("Layers were dropped.",))
            report.add_done(f"{number}.tif", self.folder / f"{number}.tif", fetched, renamed=False)
        said = io.StringIO()
        with redirect_stdout(said):
            report.finish(1.0, None, ())
        self.assertIn("Notice: Layers were dropped. (0.tif, 1.tif, 2.tif and 2 more)\n", said.getvalue())
