"""What the doctor finds."""

from __future__ import annotations

import json
import subprocess
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from dpip.command import doctor_checks
from dpip.command.doctor_checks import Finding, _filters, checkup
from dpip.command.saved_logins import Login
from dpip.filters import engine, registry, warmup
from dpip.filters.schema import Filter


class FilterTests(SynchronousTestCase):
    def found(self, *broken: str) -> list[Finding]:
        def apply(name: str, pixels: Any, **params: Any) -> Any:
            if name in broken:
                raise ValueError("no such colour.")
            return pixels

        self.patch(warmup, "warm_up", lambda say: None)
        self.patch(engine, "apply", apply)
        theirs = Filter(name="theirs", summary="", function=lambda array: array)
        self.patch(registry, "_third_party", lambda: ({"theirs": theirs}, {}))
        self.patch(registry, "_BUILT_IN", {name: registry._BUILT_IN[name] for name in ("grayscale", "blur")})
        return list(_filters())

    def test_one_of_a_package_that_does_not_work_keeps_the_others_from_nothing(self) -> None:
        bad, well = self.found("theirs")
        self.assertEqual((bad.about, bad.state), ("filters", "bad"))
        self.assertEqual(
            bad.found, "theirs does not work: no such colour. Mend or remove the package it is from."
        )
        self.assertIn("2 filters work", well.found)

    def test_one_of_ours_is_installed_again(self) -> None:
        bad, _ = self.found("blur")
        self.assertIn("Install DPIP again", bad.found)


class CheckupTests(SynchronousTestCase):
    def test_a_check_that_breaks_is_named(self) -> None:
        def broken(login: Login) -> Any:
            raise ValueError(f"{login.server} is no address")

        for name in (
            *("versions", "filters", "formats", "third_parties", "engines", "gpu"),
            *("confinement", "ports", "disks", "limits"),
        ):
            self.patch(doctor_checks, f"_{name}", lambda: iter(()))
        self.patch(doctor_checks, "_server", broken)
        (finding,) = checkup(Login("nowhere"))
        self.assertEqual((finding.about, finding.state), ("server", "bad"))
        self.assertIn("ValueError: nowhere is no address. ", finding.found)


class SandboxTests(SynchronousTestCase):
    def found(self, means: tuple[str, ...], missing: tuple[str, ...]) -> list[tuple[str, str]]:
        def run(command: list[str], **how: Any) -> Any:
            self.assertEqual(command[1:], ["-m", "dpip.worker.sandbox"])
            return subprocess.CompletedProcess(command, 0, json.dumps({"means": means, "missing": missing}))

        self.patch(subprocess, "run", run)
        return [(finding.state, finding.found) for finding in doctor_checks._confinement()]

    def test_what_confines_filters_is_named(self) -> None:
        found = self.found(("Landlock", "seccomp"), ())
        self.assertEqual(found, [("ok", "Landlock and seccomp confine filters here")])

    def test_what_the_kernel_lacks_is_told(self) -> None:
        found = self.found(("seccomp",), ("The kernel has no Landlock.",))
        self.assertEqual([state for state, _ in found], ["ok", "note"])
        self.assertEqual(found[1][1], "The kernel has no Landlock.")
        self.assertEqual(self.found((), ("There are no means.",)), [("note", "There are no means.")])
