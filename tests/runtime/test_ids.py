"""Ids sort by creation and are never made twice."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import TestCase

from dpip.runtime.ids import IdSource


class IdTests(TestCase):
    @given(st.lists(st.floats(min_value=1e9, max_value=4e9), min_size=1, max_size=50))
    def test_ids_sort_in_the_order_they_were_made_whatever_the_clock_does(self, times: list[float]) -> None:
        clock = iter(times)
        new_id = IdSource(clock=lambda: next(clock))
        made = [new_id() for _ in times]
        self.assertEqual(made, sorted(made))
        self.assertEqual(len(set(made)), len(made))

    def test_an_id_has_26_characters_of_one_case(self) -> None:
        self.assertRegex(IdSource()(), r"\A[0-9a-hjkmnp-tv-z]{26}\Z")

    def test_a_later_millisecond_sorts_after_an_earlier_one_of_another_source(self) -> None:
        early, late = IdSource(clock=lambda: 1e9), IdSource(clock=lambda: 1e9 + 0.001)
        self.assertLess(early(), late())

    def test_ids_of_one_millisecond_do_not_give_each_other_away(self) -> None:
        new_id = IdSource(clock=lambda: 1e9)
        first, second = new_id(), new_id()
        self.assertNotEqual(first[:-2], second[:-2])

    def test_the_layout_is_that_of_a_ulid(self) -> None:
        """With the time of the specification's own example."""
        new_id = IdSource(clock=lambda: 1469918176.385, entropy=bytes)
        self.assertEqual(new_id(), "01aryz6s41" + "0" * 16)

    def test_random_bytes_are_fetched_anew_when_they_are_used_up(self) -> None:
        fetched: list[int] = []

        def entropy(size: int) -> bytes:
            fetched.append(size)
            return bytes([len(fetched)]) * size

        new_id = IdSource(clock=lambda: 1e9, entropy=entropy)
        numbers = [_number(new_id()) for _ in range(2000)]
        steps = [after - before - 1 for before, after in pairwise(numbers)]
        self.assertEqual(len(set(steps)), len(fetched))
        self.assertLessEqual(2000 * 8, sum(fetched))

    def test_what_is_fetched_is_what_ids_are_made_of(self) -> None:
        new_id = IdSource(clock=lambda: 1e9, entropy=lambda size: bytes(i % 251 for i in range(size)))
        first, second = _number(new_id()), _number(new_id())
        self.assertEqual(first % 2**80, int.from_bytes(bytes(range(10)), "big"))
        self.assertEqual(second - first - 1, int.from_bytes(bytes(range(10, 18)), "big"))


def _number(id: str) -> int:
    number = 0
    for character in id:
        number = number * 32 + "0123456789abcdefghjkmnpqrstvwxyz".index(character)
    return number
