"""How every command ends: errors are sentences, and exit codes mean something.

0 is done, 1 refused or failed, 2 wrong usage (click's), 3 some images failed, 4 the server cannot be reached,
130 interrupted.
"""

from __future__ import annotations

import errno
import sys
from typing import Any

import click

UNREACHABLE, INTERRUPTED = 4, 130
_USAGE = (400, 422)


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
        except OSError as error:
            if error.errno == errno.EPIPE:  # click ends quietly when nobody reads any more
                raise
            raise click.ClickException(_of_the_machine(error)) from error
        except Exception as error:
            raise _explained(error) from error


def _of_the_machine(error: OSError) -> str:
    """What it refused, such as to write to a full disk or to open a file of somebody else."""
    about = f"{error.filename}: " if error.filename else ""
    return f"{about}{error.strerror or error}."


def _explained(error: Exception) -> Exception:
    """A client's error as click's; anything else, which is a bug or click's own, as it is."""
    if "dpip.client" not in sys.modules:  # nothing was asked of a server, and the import is slow
        return error
    from dpip.client import ApiError, ClientError, Unreachable

    if not isinstance(error, ClientError):
        return error
    if isinstance(error, ApiError) and error.status in _USAGE:
        return click.UsageError(str(error))
    words = str(error)
    if isinstance(error, ApiError) and error.status == 401:
        words += " Log in with: dpip login"
    return ServerUnreachable(words) if isinstance(error, Unreachable) else click.ClickException(words)


class ServerUnreachable(click.ClickException):
    """The server cannot be reached."""

    exit_code = UNREACHABLE
