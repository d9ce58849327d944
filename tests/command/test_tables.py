"""Words of strangers on our own terminal."""

from __future__ import annotations

import contextlib
import io

from twisted.trial.unittest import SynchronousTestCase

from dpip.command.tables import lines, plain, show_facts

_NAME = "a\x1b]0;mine\x07\nb\x9b31m\u202e.jpg"


class PlainTests(SynchronousTestCase):
    def test_nothing_is_left_that_a_terminal_obeys(self) -> None:
        self.assertEqual(plain(_NAME), r"a\x1b]0;mine\x07\nb\x9b31m\u202e.jpg")

    def test_names_of_all_countries_stay(self) -> None:
        for name in ("größe 😀.png", "été 👩‍👩‍👧.png", "照片.jpg", "a b\\n.png"):
            self.assertEqual(plain(name), name)

    def test_tables_and_facts_are_plain(self) -> None:
        [_, row] = lines([_NAME], {"name": str})
        self.assertEqual(row, plain(_NAME))
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            show_facts([("name", _NAME)])
        self.assertEqual(out.getvalue(), f"name  {plain(_NAME)}\n")
