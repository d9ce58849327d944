"""What the doctor finds."""

from __future__ import annotations

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

        for name in ("versions", "filters", "formats", "third_parties", "gpu", "ports", "disks", "limits"):
            self.patch(doctor_checks, f"_{name}", lambda: iter(()))
        self.patch(doctor_checks, "_server", broken)
        (finding,) = checkup(Login("nowhere"))
        self.assertEqual((finding.about, finding.state), ("server", "bad"))
        self.assertIn("ValueError: nowhere is no address. ", finding.found)
