"""Logs in files, which stay bounded."""

from __future__ import annotations

import io
import json
from contextlib import redirect_stdout
from datetime import datetime
from pathlib import Path

from twisted.logger import Logger, LogPublisher
from twisted.python import usage
from twisted.scripts.twistd import ServerOptions
from twisted.trial.unittest import SynchronousTestCase

from dpip import __version__
from dpip.api_process.tap import Options as ApiOptions
from dpip.controller.options import ControllerOptions
from dpip.runtime import logs
from dpip.runtime import options as process_options
from dpip.worker.tap import WorkerOptions as WorkerOptions


class ProcessLogTests(SynchronousTestCase):
    def test_it_keeps_its_newest_lines_and_no_more_than_its_size(self) -> None:
        folder = Path(self.mktemp())
        folder.mkdir()
        self.patch(logs, "FILE_BYTES", 1000)
        self.patch(logs, "OLDER_FILES", 2)
        file = logs.ProcessLog()
        file.path = str(folder / "dpip.log")
        log = Logger(observer=LogPublisher(file()))
        for number in range(200):
            log.info("line {number}", number=number)
        files = sorted(path.name for path in folder.iterdir())
        self.assertEqual(files, ["dpip.log", "dpip.log.1", "dpip.log.2"])
        self.assertLess(sum(path.stat().st_size for path in folder.iterdir()), 3 * 1200)
        self.assertIn("line 199", (folder / "dpip.log").read_text())

    def test_lines_for_programs(self) -> None:
        path = Path(self.mktemp())
        file = logs.ProcessLog()
        file.path, file.json = str(path), True
        log = Logger("dpip.test", observer=LogPublisher(file()))
        log.info("{id} GET {path} {status}\nline", id="01m", path='/"é', status=200, other=object())
        try:
            raise ZeroDivisionError("why")
        except ZeroDivisionError:
            log.failure("It went wrong")
        first, second = map(json.loads, path.read_text().splitlines())
        self.assertEqual((first["level"], first["system"]), ("info", "dpip.test"))
        self.assertEqual(first["message"], '01m GET /"é 200\nline')
        self.assertEqual((first["id"], first["status"]), ("01m", 200))
        self.assertNotIn("other", first)
        datetime.fromisoformat(first["time"])
        self.assertEqual((second["level"], second["message"]), ("critical", "It went wrong"))
        self.assertIn("ZeroDivisionError: why", second["traceback"])

    def test_json_to_the_standard_output_too(self) -> None:
        for options in (ControllerOptions(), WorkerOptions(), ApiOptions()):
            twistd = ServerOptions()
            twistd.parseOptions(["-n"])
            options.parent = twistd
            self.patch(logs.process_log, "path", "x")
            self.patch(logs.process_log, "json", False)
            options.parseOptions(["--log-format", "json", *self.needed(options)])
            twistd.postOptions()
            self.assertIs(twistd["logger"], logs.process_log)
            self.assertEqual((logs.process_log.path, logs.process_log.json), ("", True))
            with self.assertRaises(SystemExit) as ended:
                options.parseOptions(["--log-format", "xml", *self.needed(options)])
            usage_line, error = str(ended.exception).splitlines()
            self.assertIn(f"twistd [options] {options.process_name}", usage_line)
            self.assertIn("text or json", error)

    def test_the_version_is_that_of_dpip(self) -> None:
        for options in (ControllerOptions(), WorkerOptions(), ApiOptions()):
            with redirect_stdout(io.StringIO()) as said, self.assertRaises(SystemExit):
                options.parseOptions(["--version"])
            self.assertEqual(said.getvalue(), f"DPIP {__version__}\n")

    def test_what_twisted_says_of_each_retry_is_left_out(self) -> None:
        file = logs.ProcessLog()
        file.path = self.mktemp()
        log = Logger(observer=LogPublisher(file()))
        log.info("Scheduling retry {attempt} to connect {endpoint} in {delay} seconds.", attempt=1, delay=0.1)
        log.info("another line")
        (line,) = Path(file.path).read_text().splitlines()
        self.assertIn("another line", line)

    def needed(self, options: usage.Options) -> list[str]:
        return [] if isinstance(options, ControllerOptions) else ["--controller", "localhost:1"]

    def logs_to(self, *arguments: str) -> str | None:
        """Where a process logs that is started so, if that is bounded."""
        twistd = ServerOptions()
        twistd.parseOptions(arguments)
        options = usage.Options()
        options.parent = twistd
        self.patch(logs.process_log, "path", "")
        process_options.name_process_files(options, "dpip")
        twistd.postOptions()  # as twistd does it after those of the command
        return logs.process_log.path if twistd["logger"] is logs.process_log else None

    def test_every_log_that_goes_to_a_file_is_bounded(self) -> None:
        self.assertEqual(self.logs_to(), "dpip.log")
        self.assertEqual(self.logs_to("-n", "--logfile", "own.log"), "own.log")
        for arguments in (["-n"], ["-n", "--logfile", "-"]):
            self.assertEqual(self.logs_to(*arguments), "", arguments)
        self.assertIsNone(self.logs_to("--syslog"))
