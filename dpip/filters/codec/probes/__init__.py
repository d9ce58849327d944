"""Headers of the formats that came after the first six; see :mod:`dpip.filters.codec.headers`."""
