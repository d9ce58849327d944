"""Running a command again: only what is new or has changed is filtered, and no file is lost."""

from __future__ import annotations

import os
import tempfile
from contextlib import closing
from pathlib import Path

from attrs import frozen
from twisted.trial.unittest import TestCase

from dpip.client import Fetched
from dpip.command.run.images import RunImages
from dpip.command.run.inputs import Inputs
from dpip.command.run.journal import UPDATE, Journal, Manner, RunTask
from dpip.command.run.report import RunReport
from tests.frames import encoded

_OLD = 1_000_000_000_123_456_789


@frozen
class Filtered:
    """A result: the original's bytes after the name of the filter."""

    data: bytes

    async def take(self, to: Path) -> Fetched:
        to.write_bytes(self.data)
        return Fetched(len(self.data), "0" * 64, "image/png")

    async def read(self) -> bytes:
        return self.data


class AgainTests(TestCase):
    def setUp(self) -> None:
        self.folder = Path(self.enterContext(tempfile.TemporaryDirectory(prefix="dpip-test-")))
        self.out = self.folder / "out"
        for number, name in enumerate(("a.png", "sub/b.png", "c.png")):
            self.write(name, encoded(number, 8, 6))
        self.engine = "1.0"

    def write(self, name: str, data: bytes, time: int = _OLD) -> None:
        path = self.folder / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        os.utime(path, ns=(time, time))

    async def run_it(
        self,
        *named: str,
        filter: str = "invert",
        manner: Manner = UPDATE,
        ended: bool = True,
        resume: bool = False,
    ) -> RunReport:
        inputs = [str(self.folder / each) for each in named or ("in",)]
        task = None if resume else RunTask(inputs, [{"name": filter}], {}, None)
        with closing(Journal.opened(self.out, task, resume, manner)) as journal:
            files = Inputs(journal.task.inputs, self.out, journal.has_result)
            report = RunReport(self.out, as_json=False)
            images = RunImages(files, journal, report, self.engine)
            while (item := await images.next()) is not None:
                word = f"{journal.task.steps[0]['name']} ".encode()
                await images.arrived(item, Filtered(word + item.original.read_bytes()))
                if not ended:
                    return report
            journal.end()
        return report

    def results(self) -> dict[str, str]:
        """By name, the filter that has made them."""
        files = (path for path in self.out.rglob("*") if path.is_file() and path.name[0] != ".")
        return {
            str(path.relative_to(self.out)): path.read_bytes().partition(b" ")[0].decode("latin-1")
            for path in files
        }

    _ALL = dict.fromkeys(("a.png", "sub/b.png", "c.png"), "invert")

    async def test_what_is_done_and_unchanged_is_left_alone(self) -> None:
        first = await self.run_it()
        self.assertEqual((first.done, first.earlier, self.results()), (3, 0, self._ALL))
        again = await self.run_it()
        self.assertEqual((again.done, again.earlier, self.results()), (0, 3, self._ALL))
        self.write("d.png", encoded(4, 8, 6))
        third = await self.run_it()
        self.assertEqual((third.done, third.earlier), (1, 3))

    async def test_a_changed_original_is_done_anew_in_place_of_its_result(self) -> None:
        await self.run_it()
        self.write("a.png", encoded(7, 8, 6), _OLD + 1)
        again = await self.run_it()
        self.assertEqual((again.done, again.replaced, again.renamed, again.earlier), (1, 1, 0, 2))
        self.assertEqual(self.results(), self._ALL)
        self.assertEqual((self.out / "a.png").read_bytes(), b"invert " + encoded(7, 8, 6))

    async def test_a_new_time_of_the_same_bytes_is_no_change(self) -> None:
        await self.run_it()
        os.utime(self.folder / "in" / "a.png")
        self.assertEqual((await self.run_it()).done, 0)

    async def test_a_change_of_the_same_size_is_found_by_its_time(self) -> None:
        await self.run_it()
        data = bytearray(encoded(0, 8, 6))
        data[-5] ^= 1
        self.write("a.png", bytes(data), _OLD + 1)
        self.assertEqual((await self.run_it()).done, 1)

    async def test_another_engine_does_all_anew(self) -> None:
        await self.run_it()
        self.engine = "2.0"
        again = await self.run_it()
        self.assertEqual((again.done, again.replaced, self.results()), (3, 3, self._ALL))

    async def test_a_resumed_run_keeps_what_it_has_done_with_any_engine(self) -> None:
        await self.run_it(ended=False)
        self.engine = "2.0"
        again = await self.run_it(resume=True)
        self.assertEqual((again.done, again.earlier), (2, 1))

    async def test_other_steps_are_other_results_and_the_first_stay_known(self) -> None:
        await self.run_it()
        other = await self.run_it(filter="sepia")
        self.assertEqual((other.done, other.renamed), (3, 3))
        more = dict.fromkeys(("a-2.png", "sub/b-2.png", "c-2.png"), "sepia")
        self.assertEqual(self.results(), self._ALL | more)
        for filter in ("invert", "sepia"):
            self.assertEqual((await self.run_it(filter=filter)).earlier, 3)

    async def test_a_result_that_has_gone_is_made_again(self) -> None:
        await self.run_it()
        (self.out / "a.png").unlink()
        self.assertEqual((await self.run_it()).done, 1)
        self.assertEqual(self.results(), self._ALL)

    async def test_a_result_that_somebody_edited_is_not_lost(self) -> None:
        await self.run_it()
        (self.out / "a.png").write_bytes(b"mine ")
        self.write("a.png", encoded(7, 8, 6), _OLD + 1)
        await self.run_it()
        self.assertEqual(self.results(), self._ALL | {"a.png": "mine", "a-2.png": "invert"})

    async def test_overwrite_does_all_again_under_the_same_names(self) -> None:
        self.out.mkdir()
        (self.out / "a.png").write_bytes(b"foreign ")
        first = await self.run_it(manner=Manner("overwrite"))
        self.assertEqual((first.done, first.replaced, self.results()), (3, 1, self._ALL))
        again = await self.run_it(manner=Manner("overwrite"))
        self.assertEqual((again.done, again.replaced, again.renamed), (3, 3, 0))
        self.assertEqual(self.results(), self._ALL)

    async def test_overwrite_never_loses_an_original_or_one_of_two_results(self) -> None:
        before = (self.folder / "in" / "a.png").read_bytes()
        self.out = self.folder / "in"
        await self.run_it("in", manner=Manner("overwrite"))
        self.assertEqual((self.folder / "in" / "a.png").read_bytes(), before)
        self.assertEqual((self.folder / "in" / "a-2.png").read_bytes(), b"invert " + before)
        self.out = self.folder / "both"
        self.write("sub/a.png", encoded(9, 8, 6))
        await self.run_it("in/a.png", "in/sub/a.png", manner=Manner("overwrite"))
        self.assertEqual(self.results(), {"a.png": "invert", "a-2.png": "invert"})

    async def test_an_interrupted_overwrite_goes_on_where_it_was(self) -> None:
        await self.run_it()
        await self.run_it(manner=Manner("overwrite"), ended=False)
        rest = await self.run_it(resume=True)
        self.assertEqual((rest.done, rest.earlier, self.results()), (2, 1, self._ALL))

    async def test_rename_does_all_again_beside_what_is_there(self) -> None:
        await self.run_it()
        again = await self.run_it(manner=Manner("rename"))
        self.assertEqual((again.done, again.renamed), (3, 3))
        more = dict.fromkeys(("a-2.png", "sub/b-2.png", "c-2.png"), "invert")
        self.assertEqual(self.results(), self._ALL | more)

    async def test_results_have_the_times_of_their_originals(self) -> None:
        await self.run_it()
        self.assertEqual((self.out / "sub" / "b.png").stat().st_mtime_ns, _OLD)
        self.out = self.folder / "now"
        await self.run_it(manner=Manner(keep_times=False))
        self.assertGreater((self.out / "sub" / "b.png").stat().st_mtime_ns, _OLD)

    async def test_a_film_that_cannot_be_read_fails_alone(self) -> None:
        self.write("no.mp4", b"no film")
        (self.folder / "in" / "folder.mkv").mkdir()
        for damaged in (b"", b"\x1aE\xdf\xa3" + bytes(range(256)) * 8):
            self.write("no.mkv", damaged)
            report = await self.run_it("in/no.mp4", "in/no.mkv", "in/a.png", "in/folder.mkv")
            self.assertEqual((report.failed, report.done + report.earlier), (2, 1))

    async def test_in_the_folder_of_the_originals_results_are_told_from_them(self) -> None:
        self.out = self.folder / "in"
        for done in (3, 0):
            self.assertEqual((await self.run_it("in")).done, done)
