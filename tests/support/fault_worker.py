"""The lab's worker program, with tasks that do harm and with points at which it dies."""

from __future__ import annotations

import asyncio
import ctypes
import hashlib
import json
import logging
import multiprocessing
import os
import resource
import signal
import sys
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import forthwith
from forthwith.engine import departure
from forthwith.verify.diary import Diary
from forthwith.verify.tasks import LabTasks
from tests.support.failpoints import Failpoints

if TYPE_CHECKING:
    from collections.abc import Callable

LEAVE_WITHIN = "FORTHWITH_TEST_LEAVE_WITHIN_S"
CHILD_LIVES_S = 20.0


class HarmfulTasks(LabTasks):
    """The lab's tasks, and some that harm the process which runs them."""

    def __init__(self, diary: Diary, home: Path, schema: str, failpoints: Failpoints) -> None:
        super().__init__(diary, home, schema)
        self._failpoints = failpoints
        self._left_behind: list[asyncio.Task[None]] = []

    def register(self, app: forthwith.App) -> None:
        """Register them with an app."""
        super().register(app)
        self._app = app
        for method in (
            self.block_once,
            self.hold_threads_once,
            self.leave_a_task_behind,
            self.parent,
            self.misbehave,
            self.misbehave_in_thread,
            self.fork_a_child_that_stays,
        ):
            app.task(name=method.__name__, pass_context=True)(method)
        app.task(name="die", pass_context=True, on_crash="fail")(self.die)

    async def block_once(self, context: forthwith.JobContext, key: str, how: str) -> None:
        """Block the event loop in the first run, for ever, in one of WAYS_TO_BLOCK."""
        with self._run(context, key) as run:
            if run == 1:
                WAYS_TO_BLOCK[how]()
            self._note_effect(context)

    async def hold_threads_once(self, context: forthwith.JobContext, key: str) -> None:
        """In the first run, take all threads of the event loop's own pool, for ever."""
        with self._run(context, key) as run:
            if run == 1:
                await asyncio.gather(*(asyncio.to_thread(time.sleep, 3600) for _ in range(40)))
            self._note_effect(context)

    async def leave_a_task_behind(self, context: forthwith.JobContext, key: str) -> None:
        """Leave an asyncio task behind that cannot be cancelled."""
        with self._run(context, key):
            self._left_behind.append(asyncio.create_task(_never_end()))
            self._note_effect(context)

    async def parent(self, context: forthwith.JobContext, key: str) -> None:
        """Defer a child, whose key names the run; then die of the failpoint."""
        with self._run(context, key) as run:
            await self._app.configure_task("work").defer_async(key=f"child {run}")
            self._failpoints.reach("child_deferred", key)
            self._note_effect(context)

    async def misbehave(self, context: forthwith.JobContext, key: str, how: str) -> None:
        """Do one of MISDEEDS, in the event loop."""
        with self._run(context, key):
            self._note_effect(context)
            result = MISDEEDS[how]()
            if result is not None:
                await result

    def misbehave_in_thread(self, context: forthwith.JobContext, key: str, how: str) -> None:
        """Do one of MISDEEDS, in a thread."""
        with self._run(context, key):
            self._note_effect(context)
            MISDEEDS[how]()

    async def fork_a_child_that_stays(self, context: forthwith.JobContext, key: str) -> None:
        """In the first run, fork a process that outlives ours, and wait."""
        with self._run(context, key) as run:
            if run == 1:
                if _fork() == 0:
                    os.setsid()  # out of the group that is killed with the worker
                    time.sleep(CHILD_LIVES_S)  # noqa: ASYNC251
                    os._exit(0)
                await asyncio.sleep(3600)
            self._note_effect(context)

    async def die(self, context: forthwith.JobContext, key: str, how: str) -> None:
        """Take the process down, in one of WAYS_TO_DIE."""
        with self._run(context, key):
            WAYS_TO_DIE[how]()


def _spin() -> None:
    while True:
        pass


def _stay_in_c_code() -> None:
    """Compute for hours in C: Python's own signal handlers never run, though other threads do."""
    hashlib.pbkdf2_hmac("sha256", b"word", b"salt", 2**31 - 1)


WAYS_TO_BLOCK: dict[str, Callable[[], object]] = {
    "sleep": lambda: time.sleep(3600),
    "spin": _spin,
    "c code": _stay_in_c_code,
}


def _exhaust_memory() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (2**31, 2**31))
    hoard = []
    while True:
        hoard.append(bytearray(2**24))


def _abort() -> None:
    ctypes.CDLL(None).abort()


WAYS_TO_DIE: dict[str, Callable[[], object]] = {
    "segfault": lambda: ctypes.string_at(0),
    "abort": _abort,
    "os._exit": lambda: os._exit(0),
    "out of memory": _exhaust_memory,
    "close descriptors": lambda: os.closerange(3, 256),
}


def _fork() -> int:
    with warnings.catch_warnings():  # Python 3.12 warns of forks in a process with threads
        warnings.simplefilter("ignore", DeprecationWarning)
        return os.fork()


def _fork_and_return() -> None:
    """Forget that the child has to end: it comes back into the worker's code."""
    pid = _fork()
    if pid:
        os.waitpid(pid, 0)


def _terminate_a_child() -> None:
    """What a pool of processes does, too."""
    context = multiprocessing.get_context("fork")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        child = context.Process(target=time.sleep, args=(3600,))
        child.start()
    child.terminate()
    child.join()
    if child.exitcode != -signal.SIGTERM:
        raise AssertionError(f"the child ended with {child.exitcode}")


def _raise(error: BaseException) -> None:
    raise error


def _recurse(depth: int = 0) -> int:
    return _recurse(depth + 1) + 1


async def _exit_in_a_task_of_its_own() -> None:
    async def leave() -> None:
        sys.exit(0)

    await asyncio.gather(asyncio.create_task(leave()))


async def _never_end() -> None:
    while True:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            continue


MISDEEDS: dict[str, Callable[[], Any]] = {
    "exit": lambda: sys.exit(0),
    "interrupt": lambda: _raise(KeyboardInterrupt()),
    "generator exit": lambda: _raise(GeneratorExit()),
    "recurse": _recurse,
    "fork and return": _fork_and_return,
    "terminate a child": _terminate_a_child,
    "take the signal": lambda: signal.signal(signal.SIGTERM, lambda *_: None) and None,
    "leave the directory": lambda: os.chdir("/"),
    "exit in a task": _exit_in_a_task_of_its_own,
}


def main(settings: dict[str, Any]) -> None:
    """Run the worker until a signal stops it."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    departure.LEAVE_WITHIN_S = float(os.environ.get(LEAVE_WITHIN, departure.LEAVE_WITHIN_S))
    home = Path(settings["home"])
    diary = Diary(home / "diaries" / f"{settings['name']}.jsonl")
    app = forthwith.App(settings["url"], schema=settings["schema"])
    failpoints = Failpoints(home)
    failpoints.install()
    HarmfulTasks(diary, home, settings["schema"], failpoints).register(app)
    app.run_worker(name=settings["name"], **settings["options"])


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
