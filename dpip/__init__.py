"""DPIP: distributed and parallel image processing.

Pictures go in over a REST API, any number of workers share the filtering, and every picture comes back
filtered, in order, or with a recorded reason why it could not be.
"""

__version__ = "0.1.0"
