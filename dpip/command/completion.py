"""``dpip completion`` makes a shell complete commands, options and filters."""

from __future__ import annotations

import click


@click.command(
    epilog="""\b
Examples:
  dpip completion bash > ~/.local/share/bash-completion/completions/dpip
  dpip completion zsh > ~/.zfunc/_dpip          (with ~/.zfunc in fpath)
  dpip completion fish > ~/.config/fish/completions/dpip.fish
"""
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print a script that makes the Tab key complete words."""
    from click.shell_completion import get_completion_class

    kind = get_completion_class(shell)
    assert kind is not None
    click.echo(kind(context.find_root().command, {}, "dpip", "_DPIP_COMPLETE").source())
