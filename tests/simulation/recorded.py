"""Seeds that see the planted bugs, as ``python -m tests.simulation.search --record`` found them."""

RECORDED: dict[str, int] = {}
