"""How commands end: errors become sentences and exit codes.

0 is success, 1 a refusal or failure, 2 wrong usage (click's), 3 some failed images, 4 a server that cannot be
reached, 130 an interruption.
"""

from __future__ import annotations

import errno
import sys
from typing import IO, Any

import click

UNREACHABLE, INTERRUPTED = 4, 130
_USAGE = (400, 422)


class Group(click.Group):
    """A group that turns DPIP's own exceptions into click's errors. A bug keeps its traceback."""

    def make_context(self, *arguments: Any, **options: Any) -> click.Context:
        try:
            return super().make_context(*arguments, **options)
        except click.UsageError as error:
            raise _brief(error) from None

    def invoke(self, context: click.Context) -> Any:
        from dpip.errors import DpipError

        try:
            return super().invoke(context)
        except click.UsageError as error:
            raise _brief(error) from error.__cause__
        except (KeyboardInterrupt, click.Abort):
            click.echo("\nInterrupted.", err=True)
            raise click.exceptions.Exit(INTERRUPTED) from None
        except DpipError as error:
            raise click.ClickException(str(error)) from error
        except OSError as error:
            if error.errno == errno.EPIPE:  # click ends quietly when nobody reads the output any more
                raise
            raise click.ClickException(_describe(error)) from error
        except Exception as error:
            raise _as_clicks(error) from error


def _describe(error: OSError) -> str:
    about = f"{error.filename}: " if error.filename else ""
    return f"{about}{error.strerror or error}."


def _as_clicks(error: Exception) -> Exception:
    """Turn a client's error into click's; return any other, which is a bug or click's own, as it is."""
    if "dpip.client" not in sys.modules:  # the client was not used, and the import is slow
        return error
    from dpip.client import ApiError, ClientError, Unreachable

    if not isinstance(error, ClientError):
        return error
    if isinstance(error, ApiError) and error.status in _USAGE:
        return WrongUsage(str(error))
    words = str(error)
    if isinstance(error, ApiError) and error.status == 401:
        words += " Log in with: dpip login"
    return ServerUnreachable(words) if isinstance(error, Unreachable) else click.ClickException(words)


class WrongUsage(click.UsageError):
    """Wrong usage, which is shown as the last line, after one line on what is right."""

    def show(self, file: IO[Any] | None = None) -> None:
        if self.ctx is not None:
            click.echo(" ".join(self.ctx.get_usage().split()), file=file or sys.stderr)
        click.echo(f"Error: {self.format_message()}", file=file or sys.stderr)


def _brief(error: click.UsageError) -> click.UsageError:
    if isinstance(error, WrongUsage | click.exceptions.NoArgsIsHelpError):
        return error
    return WrongUsage(error.format_message(), error.ctx)


class ServerUnreachable(click.ClickException):
    """The server cannot be reached."""

    exit_code = UNREACHABLE
