"""Everything that must survive a restart, except the pixels. SQL is in this package, and in ``dpip.backup``.

Functions that are methods of ``dpip.interfaces.IDatastore`` are described there.
"""
