"""Everything that must survive, but the pixels. SQL lives in this package, and in ``dpip.backup``."""
