"""How every command ends: errors are sentences, and exit codes mean something.

0 is done, 1 refused or failed, 2 wrong usage (click's), 130 interrupted.
"""

from __future__ import annotations

from typing import Any

import click

INTERRUPTED = 130


class Group(click.Group):
    """Turns what the parts of DPIP raise on purpose into click's errors. A bug keeps its traceback."""

    def invoke(self, context: click.Context) -> Any:
        from dpip.errors import DpipError

        try:
            return super().invoke(context)
        except (KeyboardInterrupt, click.Abort):
            click.echo("\nInterrupted.", err=True)
            raise click.exceptions.Exit(INTERRUPTED) from None
        except DpipError as error:
            raise click.ClickException(str(error)) from error
