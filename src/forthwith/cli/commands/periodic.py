"""`forthwith periodic`: when periodic tasks run; run one now, pause and resume it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, assert_never

import click

from forthwith.cli.columns import Column
from forthwith.cli.completion import complete_periodic
from forthwith.cli.documents import plain_document
from forthwith.cli.exit_code import ExitCode
from forthwith.cli.failure import CommandFailed
from forthwith.cli.output import print_json, print_table
from forthwith.cli.printable import one_line
from forthwith.cli.session import any_app, at_desk

if TYPE_CHECKING:
    from forthwith.operations import Desk, PeriodicState

_Deed = Literal["run", "pause", "resume"]
_DEEDS: tuple[_Deed, ...] = ("run", "pause", "resume")
_COLUMNS = (
    Column("task", wide=True),
    Column("id", wide=True),
    Column("cron"),
    Column("queue", wide=True),
    Column("next (UTC)"),
    Column("last (UTC)"),
    Column("last job", number=True),
    Column("status"),
)


@click.command(epilog="Examples: forthwith periodic; forthwith periodic run nightly_report")
@click.argument("deed", metavar="[run|pause|resume]", required=False, type=click.Choice(_DEEDS))
@click.argument("task", metavar="[TASK]", required=False, shell_complete=complete_periodic)
@click.option(
    "--id", "periodic_id", metavar="ID", help="Which of the task's crons, if it has several."
)
@click.option("--json", "as_json", is_flag=True, help="Write one JSON document.")
def command(
    deed: _Deed | None, task: str | None, *, periodic_id: str | None, as_json: bool
) -> None:
    """Show the periodic tasks that workers have told of, when they run and ran last.

    `run TASK` defers a job of it now, and writes its id. `pause TASK` skips its ticks until
    `resume TASK`. Exits with 1 if no worker has told of such a task.
    """
    if deed is None:
        _list(as_json=as_json)
        return
    if task is None:
        raise click.UsageError(f"name the task: forthwith periodic {deed} TASK")
    _do(deed, task, periodic_id or "", as_json=as_json)


def _list(*, as_json: bool) -> None:
    async def ask(desk: Desk) -> list[PeriodicState]:
        return await desk.periodic()

    states = at_desk(any_app(), ask)
    if as_json:
        print_json({"periodic": [plain_document(state) for state in states]})
    else:
        print_table(_COLUMNS, map(_row, states), "No periodic tasks.")


def _do(deed: _Deed, task: str, periodic_id: str, *, as_json: bool) -> None:
    async def do(desk: Desk) -> int | bool:
        await _check_told_of(desk, task, periodic_id)
        match deed:
            case "run":
                return await desk.run_periodic_now(task, periodic_id)
            case "pause":
                return await desk.pause_periodic(task, periodic_id)
            case "resume":
                return await desk.resume_periodic(task, periodic_id)
            case _:
                assert_never(deed)

    _report(deed, task, at_desk(any_app(), do), as_json=as_json)


async def _check_told_of(desk: Desk, task: str, periodic_id: str) -> None:
    ids = [state.periodic_id for state in await desk.periodic() if state.task == task]
    if not ids:
        problem = f"no worker has told of a periodic task `{task}`; `forthwith periodic` lists them"
        raise CommandFailed(ExitCode.FAILED, problem)
    if periodic_id not in ids:
        named = ", ".join(map(repr, ids))
        raise CommandFailed(ExitCode.FAILED, f"say which of `{task}` with --id: one of {named}")


def _report(deed: _Deed, task: str, result: int | bool, *, as_json: bool) -> None:
    if as_json:
        print_json({"task": task, "id" if deed == "run" else "changed": result})
    elif deed == "run":
        click.echo(result)
    else:
        told = f"{deed}d" if result else f"was {'paused' if deed == 'pause' else 'running'} already"
        click.echo(f"{one_line(task)}: {told}")


def _row(state: PeriodicState) -> tuple[object, ...]:
    return (
        state.task,
        state.periodic_id or None,
        state.cron,
        state.queue,
        "paused" if state.paused_at is not None else state.next_at,
        state.last_at,
        state.last_job_id,
        state.last_status,
    )
