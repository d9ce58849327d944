"""``dpip backup`` and ``dpip restore``; what they do is tested in ``tests.test_backup``."""

from __future__ import annotations

from click.testing import CliRunner, Result

from dpip.command import main
from tests import test_backup


class BackupCommandTests(test_backup.BackupTestCase):
    def run_dpip(self, *arguments: object) -> Result:
        return CliRunner().invoke(main, [str(argument) for argument in arguments])

    def test_there_and_back(self) -> None:
        made = self.run_dpip("backup", self.file, "--state-dir", self.state)
        self.assertEqual((made.exit_code, made.output[:10]), (0, "4 images ("), made.output)
        other = self.folder / "other"
        restored = self.run_dpip("restore", self.file, "--state-dir", other)
        self.assertEqual(restored.exit_code, 0, restored.output)
        self.assertIsNotNone(self.now(self.opened(other).workload("w2")))

    def test_refusals_are_sentences(self) -> None:
        self.run_dpip("backup", self.file, "--state-dir", self.state)
        for arguments, words in (
            (("backup", self.file, "--state-dir", self.state), "there already"),
            (("backup", self.folder / "new", "--state-dir", self.folder), "There is no DPIP"),
            (("backup", self.folder / "no" / "new", "--state-dir", self.state), "There is no folder"),
            (("restore", self.file, "--state-dir", self.state), "--replace"),
            (("restore", self.folder / "nothing", "--state-dir", self.folder / "x"), "There is no file"),
        ):
            refused = self.run_dpip(*arguments)
            self.assertEqual(refused.exit_code, 1, refused.output)
            self.assertIn(words, refused.output)
