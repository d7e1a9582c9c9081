"""Keep several worker processes running: start them, pass signals on, replace the dead."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import time
from typing import TYPE_CHECKING

from forthwith.cli.exit_code import ExitCode
from forthwith.cli.restart import HEALTHY_AFTER_S, Decision, Ended, decide, describe_end

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from collections.abc import Sequence

logger = logging.getLogger(__name__)


def supervise(commands: Sequence[Sequence[str]], *, one_shot: bool) -> int:
    """Run a worker process for each of `commands` until all are gone, and return the exit code.

    `commands` are the arguments after `python -m forthwith`. SIGTERM and SIGINT are passed on to
    every process, each time they come. With `one_shot`, a process that exits with 0 is done.
    """
    return asyncio.run(Supervisor(one_shot=one_shot).run(commands))


class Supervisor:
    """A set of worker processes, each replaced when it dies by itself.

    It is a small process that loads no app and opens no connection, so hardly anything can go wrong
    in it.
    """

    def __init__(self, *, one_shot: bool) -> None:
        self._one_shot = one_shot
        self._running: set[Process] = set()
        self._signals_received = 0
        self._stopping = asyncio.Event()
        self._exit_code: int = ExitCode.OK
        # The write end is open in this process alone, so that it closes with this process. Every
        # worker has the read end for its standard input (see orphan.py).
        self._lifeline, self._held_open = os.pipe()

    async def run(self, commands: Sequence[Sequence[str]]) -> int:
        """Keep a process running for each of `commands`; return when all are gone."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._pass_on)
        try:
            async with asyncio.TaskGroup() as group:
                for command in commands:
                    group.create_task(self._keep_running(command))
        finally:
            os.close(self._lifeline)
            os.close(self._held_open)
        return self._exit_code

    async def _keep_running(self, command: Sequence[str]) -> None:
        deaths = 0
        while not self._stopping.is_set():
            ended = await self._run_once(command)
            deaths = 0 if ended.lived_s >= HEALTHY_AFTER_S else deaths
            decision = decide(ended, deaths)
            deaths += 1
            self._note(ended, decision)
            if decision.restart_delay_s is None:
                return
            await self._pause(decision.restart_delay_s)

    async def _run_once(self, command: Sequence[str]) -> Ended:
        started = time.monotonic()
        try:
            process = await self._start(command)
        except OSError as error:  # no memory or no process left at the moment
            logger.error("A worker process could not be started: %s", error)
            return Ended(ExitCode.FAILED, 0.0, self._stopping.is_set(), self._one_shot)
        self._running.add(process)
        # Signals that came while it was being started, it has not seen.
        for _ in range(self._signals_received):
            _terminate(process)
        return_code = await process.wait()
        self._running.discard(process)
        logger.info("Worker process %d ended: %s", process.pid, describe_end(return_code))
        lived_s = time.monotonic() - started
        return Ended(return_code, lived_s, self._stopping.is_set(), self._one_shot)

    async def _start(self, command: Sequence[str]) -> Process:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "forthwith",
            *command,
            stdin=self._lifeline,
            # A group of its own: Ctrl-C in a terminal reaches the whole foreground group, and with
            # the signal that is passed on, a worker would see two and hurry.
            process_group=0,
        )
        logger.info("Worker process %d started", process.pid)
        return process

    def _pass_on(self) -> None:
        self._signals_received += 1
        self._stop()

    def _stop(self) -> None:
        self._stopping.set()
        for process in self._running:
            _terminate(process)

    def _note(self, ended: Ended, decision: Decision) -> None:
        if decision.restart_delay_s is not None:
            logger.warning(
                "A worker process died (%s); another one starts in %g s",
                describe_end(ended.return_code),
                decision.restart_delay_s,
            )
        if decision.give_up:
            self._exit_code = ended.return_code
            self._stop()
        elif decision.failed:
            self._exit_code = self._exit_code or ExitCode.FAILED

    async def _pause(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self._stopping.wait(), seconds)
        except TimeoutError:
            return


def _terminate(process: Process) -> None:
    try:
        # Always SIGTERM: a worker treats both alike, but Python prints a traceback for a SIGINT
        # that comes before the worker listens.
        process.send_signal(signal.SIGTERM)
    except ProcessLookupError:
        return
