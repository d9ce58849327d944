"""The axe: real processes of DPIP, and what can happen to them.

Each module holds one kind of harm: ``python -m tests.chaos.steps`` and its neighbours do all of it and print
a summary, ``test_short.py`` does a little of it in the ordinary test run.
"""
