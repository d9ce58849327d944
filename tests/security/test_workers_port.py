"""A few thousand of the hostile inputs that ``python -m tests.security`` makes by the million."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.security.port import MOST_HELD, Port, lasting

_INPUTS = 2_000


class WorkersPortTests(SynchronousTestCase):
    def test_hostile_bytes_cost_little_and_change_nothing(self) -> None:
        """How long each took is seen, but judged only by ``python -m tests.security``."""
        port = Port(seed=7)
        seen = port.throw(_INPUTS)
        self.assertEqual(seen.wrong + port.left(), [])
        self.assertEqual(seen.inputs.total(), _INPUTS)
        self.assertGreater(min(seen.inputs.values()), 0)
        self.assertGreater(seen.dropped, _INPUTS // 10)
        self.assertTrue(0 < seen.held < MOST_HELD, seen.held)
        self.assertEqual(seen.lines_of_stranger, 1)

    def test_the_same_seed_gives_the_same_inputs(self) -> None:
        one, other = (Port(seed=3).throw(100) for _ in range(2))
        self.assertEqual((one.inputs, one.dropped), (other.inputs, other.dropped))

    def test_only_stops_that_come_again_are_the_ports(self) -> None:
        self.assertEqual(
            lasting({1: 0.2, 7: 0.03, 9: 0.05}, {7: 0.04, 8: 0.9, 9: 0.021}), {7: 0.03, 9: 0.021}
        )
