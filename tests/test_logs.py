"""Logs in files, which stay bounded."""

from __future__ import annotations

from pathlib import Path

from twisted.logger import Logger, LogPublisher
from twisted.python import usage
from twisted.scripts.twistd import ServerOptions
from twisted.trial.unittest import SynchronousTestCase

from dpip import logs, settings


class BoundedFileTests(SynchronousTestCase):
    def test_it_keeps_its_newest_lines_and_no_more_than_its_size(self) -> None:
        folder = Path(self.mktemp())
        folder.mkdir()
        self.patch(logs, "FILE_BYTES", 1000)
        self.patch(logs, "OLDER_FILES", 2)
        file = logs.BoundedFile()
        file.path = str(folder / "dpip.log")
        log = Logger(observer=LogPublisher(file()))
        for number in range(200):
            log.info("line {number}", number=number)
        files = sorted(path.name for path in folder.iterdir())
        self.assertEqual(files, ["dpip.log", "dpip.log.1", "dpip.log.2"])
        self.assertLess(sum(path.stat().st_size for path in folder.iterdir()), 3 * 1200)
        self.assertIn("line 199", (folder / "dpip.log").read_text())

    def logs_to(self, *arguments: str) -> str | None:
        """Where a process logs that is started so, if that is bounded."""
        twistd = ServerOptions()
        twistd.parseOptions(arguments)
        options = usage.Options()
        options.parent = twistd
        self.patch(logs.bounded_file, "path", "")
        settings.name_process_files(options, "dpip")
        twistd.postOptions()  # as twistd does it after those of the command
        return logs.bounded_file.path if twistd["logger"] is logs.bounded_file else None

    def test_every_log_that_goes_to_a_file_is_bounded(self) -> None:
        self.assertEqual(self.logs_to(), "dpip.log")
        self.assertEqual(self.logs_to("-n", "--logfile", "own.log"), "own.log")
        for arguments in (["-n"], ["-n", "--logfile", "-"], ["--syslog"]):
            self.assertIsNone(self.logs_to(*arguments), arguments)
