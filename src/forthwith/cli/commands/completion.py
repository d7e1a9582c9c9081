"""`forthwith completion`: a script that lets a shell complete commands, options and names."""

from __future__ import annotations

import click

_SHELLS = ("bash", "zsh", "fish")


@click.command(epilog='Example: eval "$(forthwith completion bash)"')
@click.argument("shell", type=click.Choice(_SHELLS))
def command(shell: str) -> None:
    """Write the script that lets your SHELL complete commands, options, queues and tasks.

    \b
    bash: eval "$(forthwith completion bash)" in ~/.bashrc
    zsh:  eval "$(forthwith completion zsh)" in ~/.zshrc
    fish: forthwith completion fish > ~/.config/fish/completions/forthwith.fish
    """
    from click.shell_completion import get_completion_class

    from forthwith.cli.group import cli

    completion = get_completion_class(shell)
    assert completion is not None, "click knows these shells"
    click.echo(completion(cli, {}, "forthwith", "_FORTHWITH_COMPLETE").source())
