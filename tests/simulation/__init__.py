"""The real controller, real workers and real clients in one process, on a simulated clock, network and disk.

Everything that happens follows from a seed: ``python -m tests.simulation --seed 42 --trace`` shows it again.
See ``architecture.md`` for what is real and what is simulated.
"""
