"""``dpip`` as a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image
from twisted.trial.unittest import TestCase

ROOT = Path(__file__).parents[2]
PATIENCE = 600  # seconds; the first start on a machine compiles the filters
DPIP = [sys.executable, "-c", "from dpip.command import main; main(prog_name='dpip')"]
#: One compute child: each takes longer to start than these pictures take.
RUN, VIDEO = ((*DPIP, command, "--slots", "1") for command in ("run", "video"))


def _heed_ctrl_c() -> None:
    """In the child: whoever runs the tests in the background has SIGINT ignored, and that is inherited."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class ProcessTestCase(TestCase):
    def setUp(self) -> None:
        self.folder = Path(self.enterContext(tempfile.TemporaryDirectory(prefix="dpip-test-")))
        self.temporary = self.folder / "tmp"
        self.temporary.mkdir()
        self.environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
            "TMPDIR": str(self.temporary),
        }

    def start(self, *command: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            command,
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=_heed_ctrl_c,
        )
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return process

    def run_it(self, *command: str) -> tuple[int, str, str]:
        process = self.start(*command)
        out, err = process.communicate(timeout=PATIENCE)
        return process.returncode, out, err


class DemoTests(ProcessTestCase):
    def test_it_leaves_pictures_and_ends_by_itself(self) -> None:
        code, out, err = self.run_it(*DPIP, "demo", "--frames", "6", "--slots", "1")
        self.assertEqual(code, 0, err)
        demo = self.folder / "dpip-demo"
        self.assertRegex(out, r"grayscale +6 images in \d+\.\d\d s, \d+ images/s\n")
        self.assertRegex(out, r"blur +6 images in \d+\.\d\d s, \d+ images/s\n")
        self.assertIn("dpip-demo/before-after.png\n", out)
        self.assertIn("film: 6 frames of 1280x720 drawn\n", err)
        self.assertNotIn("\x1b", out + err)
        for kind, mode in (("original", "RGB"), ("grayscale", "L"), ("blur", "RGB")):
            frames = sorted((demo / kind).iterdir())
            self.assertEqual([frame.name for frame in frames], [f"frame-{n:04}.jpg" for n in range(6)])
            for frame in frames:
                with Image.open(frame) as picture:
                    self.assertEqual((picture.mode, picture.size), (mode, (1280, 720)))
        with Image.open(demo / "before-after.png") as picture:
            self.assertEqual(picture.format, "PNG")
        self.assertEqual(list(self.temporary.iterdir()), [])

    def interrupted_at(self, words: str) -> None:
        process = self.start(*DPIP, "demo", "--frames", "5000", "--slots", "1")
        assert process.stderr is not None
        while words not in (line := process.stderr.readline()):
            self.assertNotEqual(line, "", f"it ended before {words!r}")
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=PATIENCE)
        self.assertEqual(process.returncode, 130, err)
        self.assertTrue(err.endswith("\nInterrupted.\n"), err)
        self.assertEqual(list(self.temporary.iterdir()), [])

    def test_ctrl_c_while_it_starts(self) -> None:
        self.interrupted_at("system: starting")

    def test_ctrl_c_takes_everything_down(self) -> None:
        self.interrupted_at("ready in")

    def test_help_is_quick_because_it_loads_nothing_heavy(self) -> None:
        script = (
            "import sys\nfrom dpip.command import main\n"
            "try: main(['--help'])\nexcept SystemExit: pass\n"
            "heavy = {'numpy', 'numba', 'twisted', 'PIL', 'sqlalchemy', 'rich'}\n"
            "print(sorted(heavy & sys.modules.keys()))"
        )
        code, out, err = self.run_it(sys.executable, "-c", script)
        self.assertEqual(code, 0, err)
        self.assertEqual(out.splitlines()[-1], "[]")


class RunningTests(ProcessTestCase):
    def running(self, body: str) -> tuple[int, str, str]:
        script = (
            f"from dpip.command.event_loop import run\nasync def main(reactor):\n{body}\nprint(run(main))"
        )
        return self.run_it(sys.executable, "-c", script)

    def test_a_result_is_returned(self) -> None:
        self.assertEqual(self.running("    return 'done'"), (0, "done\n", ""))

    def test_an_exception_is_raised(self) -> None:
        code, _, err = self.running("    raise ValueError('so it is')")
        self.assertEqual((code, err.splitlines()[-1]), (1, "ValueError: so it is"))

    def test_an_interrupted_coroutine_may_clean_up_at_its_leisure(self) -> None:
        code, out, err = self.running(
            "    from twisted.internet.task import deferLater\n"
            "    import os, signal\n"
            "    reactor.callLater(0, os.kill, os.getpid(), signal.SIGINT)\n"
            "    try:\n"
            "        await deferLater(reactor, 1000)\n"
            "    finally:\n"
            "        await deferLater(reactor, 0)\n"
            "        print('cleaned up')"
        )
        self.assertEqual(out, "cleaned up\n")
        self.assertEqual((code, err.splitlines()[-1]), (-signal.SIGINT, "KeyboardInterrupt"))
