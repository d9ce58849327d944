"""The ``dpip`` command. Each subcommand is a module here, which imports slow modules only when it runs."""

from __future__ import annotations

import click

from dpip import __version__
from dpip.command.backups import backup, migrate, restore
from dpip.command.completion import completion
from dpip.command.demo import demo
from dpip.command.doctor import doctor
from dpip.command.filters import filters
from dpip.command.group import Group
from dpip.command.images import download, images
from dpip.command.join_token import join_token
from dpip.command.login import login, logout, whoami
from dpip.command.presets import preset
from dpip.command.run.command import run
from dpip.command.saved_logins import settings
from dpip.command.status import status
from dpip.command.tokens import token
from dpip.command.users import users
from dpip.command.video.command import video
from dpip.command.workers import workers
from dpip.command.workloads import cancel, delete, retry, seal, workload, workloads

_COMMANDS = (
    *(demo, run, video, doctor),
    *(login, logout, whoami, token),
    *(status, workloads, workload, images, download, filters, preset, workers, join_token),
    *(cancel, retry, seal, delete),
    *(users, backup, restore, migrate, completion),
)

_EXAMPLES = """\b
Examples:
  dpip demo                                       see it work: filters a short film on this machine
  dpip run photos -o blurred --filter blur        filters a folder, on this machine
  dpip video clip.mp4 -o gray.mp4 -f grayscale    filters a film
  dpip login https://images.example:8080          from now on the commands talk to that server
  twistd -n dpip                                  the service itself (see: twistd dpip --help)

\b
Options may also stand in the environment (DPIP_SERVER, DPIP_TOKEN, …), or in config.toml in the
folder for settings, by command: server = "https://…" for all, connections = 8 under [run] for one.
"""


@click.group(
    cls=Group,
    epilog=_EXAMPLES,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, "-V", "--version", prog_name="dpip", message="%(prog)s %(version)s")
@click.pass_context
def main(context: click.Context) -> None:
    """DPIP: distributed and parallel image processing.

    Pictures go in over a REST API, any number of workers share the filtering, and every picture comes back.
    """
    context.default_map = settings([command.name for command in _COMMANDS if command.name])


for _command in _COMMANDS:
    main.add_command(_command)
