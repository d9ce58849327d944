"""The ``dpip`` command. Each subcommand is a module here, which imports what is heavy when it runs."""

from __future__ import annotations

import click

from dpip import __version__
from dpip.command.demo import demo
from dpip.command.group import Group
from dpip.command.run import run
from dpip.command.users import users

_EXAMPLES = """\b
Examples:
  dpip demo                       see it work: filters a short film on this machine
  dpip users add eve              a user for the service whose state is on this machine
  twistd -n dpip                  the service itself (see: twistd dpip --help)
"""


@click.group(
    cls=Group,
    epilog=_EXAMPLES,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, "-V", "--version", prog_name="dpip", message="%(prog)s %(version)s")
def main() -> None:
    """DPIP: distributed and parallel image processing.

    Pictures go in over a REST API, any number of workers share the filtering, and every picture comes back.
    """


main.add_command(demo)
main.add_command(run)
main.add_command(users)
