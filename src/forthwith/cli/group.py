"""The `forthwith` group: its help, its common options, and which module holds which command."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

import click

from forthwith.cli.exit_code import exit_code_table
from forthwith.cli.settings import common_options

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

# Commands in the order of the help, each with its summary, so that the help imports none of them.
_SUMMARIES = {
    "worker": "Run jobs until told to stop.",
    "migrate": "Bring the database's schema up to date.",
    "grant": "Let a role defer jobs, or work.",
    "defer": "Add a job.",
    "top": "Watch queues, workers and failures live in the terminal.",
    "status": "Show the database, the workers and the jobs at a glance.",
    "doctor": "Say what is wrong, and what to do.",
    "jobs": "Show jobs, newest first, or one job in detail.",
    "job": "Show all that is known of one job.",
    "queues": "Show what waits in each queue, and what becomes of it.",
    "workers": "Show the workers, and whether they are alive.",
    "tasks": "Show the tasks, who knows them, and how they fare.",
    "periodic": "Show periodic tasks; run, pause or resume one.",
    "locks": "Show who holds locks, and how many wait behind.",
    "dashboard": "See and steer all of this in a browser.",
    "retry": "Run failed jobs again.",
    "cancel": "Cancel waiting jobs, or ask running ones to stop.",
    "abort": "Ask running jobs to stop.",
    "reschedule": "Make waiting jobs due at another time.",
    "delete": "Delete jobs that wait or have ended.",
    "pause": "Let no worker start jobs of a queue.",
    "resume": "Let workers start jobs of a paused queue again.",
    "verify": "Put a queue under load and faults, and check that it loses nothing.",
    "bench": "Measure throughput and latency, and say what holds them back.",
    "completion": "Let your shell complete commands and names.",
}

_EPILOG = f"""
\b
Exit codes:
{exit_code_table()}

--app, --database and --debug may stand before or after the command. Times are shown in UTC.
"""


class CommandGroup(click.Group):
    """A group that imports a command's module when the command is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """Return the names of all commands in the order of the help."""
        return list(_SUMMARIES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Return the command of this name, or None where there is none."""
        name = cmd_name
        if name not in _SUMMARIES:
            return None
        module = importlib.import_module(f"forthwith.cli.commands.{name}")
        command: click.Command = module.command
        command.name = name
        if not any(parameter.name == "debug" for parameter in command.params):
            command.params += common_options(hidden=True)
        return command

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Return what a shell may complete, without importing a command for its name."""
        from click.shell_completion import CompletionItem

        named = [
            CompletionItem(name, help=summary)
            for name, summary in _SUMMARIES.items()
            if name.startswith(incomplete)
        ]
        return named + click.Command.shell_complete(self, ctx, incomplete)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Write the commands and their summaries."""
        with formatter.section("Commands"):
            formatter.write_dl(list(_SUMMARIES.items()))


@click.group(
    cls=CommandGroup,
    params=common_options(hidden=False),
    epilog=_EPILOG,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(package_name="forthwith", message="%(prog)s %(version)s")
def cli(**_options: Any) -> None:
    """Durable, high-throughput background jobs on PostgreSQL."""
