"""``dpip video`` filters a film.

``command`` is the command. ``frames`` sends the frames and gives the results in their order to ``copy``,
which writes the film. Everything else is that of ``dpip.command.run``.
"""
