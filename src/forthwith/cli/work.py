"""Run one worker in this process, from the first signal handler to the last thread."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from typing import TYPE_CHECKING, Any

from forthwith import upstream
from forthwith.cli.database_report import database_name
from forthwith.cli.departure import leave_soon
from forthwith.cli.exit_code import ExitCode
from forthwith.cli.failure import explain
from forthwith.engine.departure import departure_of_process
from forthwith.engine.garbage import heap_set_aside
from forthwith.orphan import stop_when_supervisor_is_gone

if TYPE_CHECKING:
    from collections.abc import Callable

    from forthwith import App
    from forthwith.engine.departure import Departure

logger = logging.getLogger(__name__)

_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


def work(load_app: Callable[[], App], options: dict[str, Any], *, supervised: bool) -> int:
    """Load the app and run its worker with `options` until it stops; return the exit code."""
    if supervised:
        stop_when_supervisor_is_gone()
    # Its countdown is never called off: to be gone in time includes what Python does at its exit.
    with departure_of_process() as departure:
        try:
            asyncio.run(_open_and_work(load_app(), options, departure))
        except asyncio.CancelledError:
            # Told to stop before the worker had begun, which is as graceful as any stop.
            return ExitCode.OK
        except SystemExit as error:
            logger.error(
                "A task ended the worker: SystemExit(%r) was raised in the event loop", error.code
            )
            return ExitCode.FAILED
    return ExitCode.OK


async def _open_and_work(app: App, options: dict[str, Any], departure: Departure) -> None:
    # Until the worker puts its own handlers in their place.
    _on_stop_signals(_leave_before_it_began(departure))
    async with app.open_async():
        _announce(app, options)
        try:
            upstream.import_tasks(app)  # so that the tasks' modules are among what is set aside
            with heap_set_aside():
                stuck = await app.run_worker_async(**options, install_signal_handlers=True)
        except asyncio.CancelledError:
            leave_soon(ExitCode.OK)
            raise
        except BaseException as error:
            departure.left(explain(error).code)
            leave_soon(explain(error).code)
            raise
        finally:
            # It is stopping already: one more signal must not kill it while it closes.
            _on_stop_signals(lambda: None)
        leave_soon(ExitCode.OK, stuck=bool(stuck))


def _announce(app: App, options: dict[str, Any]) -> None:
    effective = {**app.worker_defaults, **options}
    queues = effective.get("queues")
    logger.info(
        "This worker takes jobs of %s, concurrency %d, database %s, pid %d",
        f"queues {', '.join(queues)}" if queues else "all queues",
        effective.get("concurrency", 1),
        database_name(app),
        os.getpid(),
    )


def _on_stop_signals(callback: Callable[[], object]) -> None:
    loop = asyncio.get_running_loop()
    for number in _STOP_SIGNALS:
        loop.add_signal_handler(number, callback)


def _leave_before_it_began(departure: Departure) -> Callable[[], object]:
    task = asyncio.current_task()
    assert task is not None, "runs inside asyncio.run"

    def leave() -> None:
        departure.left(ExitCode.OK)
        leave_soon(ExitCode.OK)  # connecting may hang, and so may the start of the embedded server
        task.cancel()

    return leave
