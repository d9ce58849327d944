"""``dpip video``: a film through a filter.

``command`` is the command. ``frames`` sends the frames, and has them joined by ``copy`` in their order; what
else is needed it has in common with ``dpip.command.run``.
"""
