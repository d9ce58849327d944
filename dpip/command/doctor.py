"""``dpip doctor`` checks an installation, and says what to do about what it finds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
from attrs import asdict

from dpip.command.server import Choice, database_option, server_options
from dpip.command.tables import json_option, show_json

if TYPE_CHECKING:
    from dpip.datastore.postgres import PostgresDatabase

_MARKS = {"ok": ("green", "ok"), "note": ("yellow", "note"), "bad": ("red", "BAD")}


@click.command()
@json_option
@database_option
@server_options
def doctor(choice: Choice, database: PostgresDatabase | None, as_json: bool) -> None:
    """Check this installation, and say what to do.

    Looks at the filters and file formats, the GPU, ports, disks and limits of this machine; and where a
    server is named or logged in to, at the way to it and at its clock; and at the PostgreSQL database that
    is named. Ends with 1 when something is bad.
    """
    from dpip.command.doctor_checks import checkup

    found = []
    for finding in checkup(choice.named(), database):
        found.append(asdict(finding))
        if not as_json:
            colour, mark = _MARKS[finding.state]
            click.echo(f"{click.style(mark.ljust(4), fg=colour)}  {finding.about.ljust(9)}  {finding.found}")
    if as_json:
        show_json(found)
    if any(finding["state"] == "bad" for finding in found):
        raise click.exceptions.Exit(1)
