"""Tests mirror ``dpip/``; trial and pytest run the same ones."""

from hypothesis import HealthCheck, settings

# The same examples every time, and no verdict on how fast the machine is: it may have other work.
settings.register_profile(
    "dpip", derandomize=True, database=None, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("dpip")
