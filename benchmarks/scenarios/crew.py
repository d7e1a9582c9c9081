"""Two workers that somebody watches over: whichever ends, or is killed, is replaced at once."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from benchmarks.errors import RunError
from benchmarks.scenarios.commands import SHORT_TIMEOUT_S, work_arguments

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection
    from pathlib import Path

    from benchmarks.child import Child
    from benchmarks.scenarios.contender import Contender
    from benchmarks.scenarios.plan import Plan

WORKERS = 2
# No longer than any run.
LIFE_S = 3600.0
# A worker that ended by itself may be without its database; a supervisor waits a moment as well.
PAUSE_S = 0.1
# Who is asked to kill a worker waits for it to work: a kill of one that still starts is no fault.
KILL_PATIENCE_S = 1.5
# Longer than a worker takes to end, or to be killed because it does not.
STOP_S = 10.0


class Crew:
    """The workers of a run, the files of times of all that ever worked, and how many ended how."""

    def __init__(self, contender: Contender, plan: Plan, database: str, slots: int, folder: Path):
        self.times: list[Path] = []
        self.kills = 0
        self.ended = 0
        self._contender = contender
        self._database = database
        self._arguments = work_arguments(plan, slots, slots, processes=1)
        self._folder = folder
        self._working: dict[int, Child] = {}
        self._begun = [asyncio.Event() for _ in range(WORKERS)]

    @property
    def ended_by_themselves(self) -> int:
        """How many workers ended without being killed by us."""
        return self.ended - self.kills

    async def wait(self) -> None:
        """Wait until each place has had a worker that listens. Raises RunError if one has not."""
        try:
            async with asyncio.timeout(SHORT_TIMEOUT_S):
                for begun in self._begun:
                    await begun.wait()
        except TimeoutError:
            raise RunError(f"no two workers listened within {SHORT_TIMEOUT_S:.0f} s") from None

    async def kill(self, place: int) -> None:
        """SIGKILL to a worker and all it has started; nothing if there is none for a while."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._begun[place].wait(), KILL_PATIENCE_S)
        if worker := self._working.pop(place, None):
            self._begun[place].clear()
            self.kills += 1
            await worker.kill()

    async def keep(self, place: int) -> None:
        """Have a worker in this place, again and again, until cancelled."""
        while True:
            times = self._folder / f"started-{len(self.times)}"
            self.times.append(times)
            arguments = [*self._arguments, "--times", str(times), "--until-stopped"]
            async with self._contender.start(*arguments, database=self._database) as worker:
                with contextlib.suppress(RunError):
                    await self._work(place, worker)
            self._working.pop(place, None)
            self.ended += 1
            await asyncio.sleep(PAUSE_S)

    async def _work(self, place: int, worker: Child) -> None:
        await worker.expect("ready", SHORT_TIMEOUT_S)
        self._working[place] = worker
        self._begun[place].set()
        await worker.ended(LIFE_S)


@contextlib.asynccontextmanager
async def crew(
    contender: Contender, plan: Plan, database: str, slots: int, folder: Path
) -> AsyncIterator[Crew]:
    """Two workers that listen, kept until the block is left."""
    found = Crew(contender, plan, database, slots, folder)
    keepers = [asyncio.create_task(found.keep(place)) for place in range(WORKERS)]
    try:
        await found.wait()
        yield found
    finally:
        await _end(keepers)


async def _end(keepers: Collection[asyncio.Task[None]]) -> None:
    """Cancel, and again: before Python 3.12 `wait_for` forgets it when what it waits for just came."""
    while keepers:
        for keeper in keepers:
            keeper.cancel()
        _, keepers = await asyncio.wait(keepers, timeout=STOP_S)
