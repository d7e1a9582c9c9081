"""Points at which a worker process kills itself, put in from outside: the product knows nothing of them.

A job whose key is the name of a point kills the worker that gets so far with it; only once.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from forthwith.store.completing import Completing
from forthwith.store.postgres import PostgresStore
from forthwith.verify.diary import Diary

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence
    from pathlib import Path

    from forthwith.job import ClaimedJob
    from forthwith.outcome import Outcome


class Failpoints:
    """The points of this process. `home` is the lab's directory: who dies leaves a mark there."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._keys: dict[int, str] = {}

    def reach(self, point: str, key: str | None) -> None:
        """Die here, if the job of that key wants it and nobody has died of it before."""
        if point == key and self._is_first(point):
            os.kill(os.getpid(), signal.SIGKILL)

    def install(self) -> None:
        """Put the points into the statements of the worker and into the diary."""
        self._install_claim()
        self._install_complete()
        self._install_transaction()
        self._install_note()

    def _install_claim(self) -> None:
        claim = PostgresStore.claim

        async def dying(store: PostgresStore, *arguments: Any, **options: Any) -> list[ClaimedJob]:
            jobs = await claim(store, *arguments, **options)
            for job in jobs:
                self.reach("after_claim", _key_of(job))
            return jobs

        PostgresStore.claim = dying  # type: ignore[method-assign]

    def _install_complete(self) -> None:
        complete = PostgresStore.complete

        async def dying(
            store: PostgresStore, outcomes: Sequence[Outcome], **options: Any
        ) -> set[int]:
            keys = [_key_of(outcome.job) for outcome in outcomes]
            completing = asyncio.ensure_future(complete(store, outcomes, **options))
            while "completion_sent" in keys and not completing.done():
                await asyncio.sleep(0)
                connection = store._completions._connection
                if connection is not None and connection.awaits_answer:
                    self.reach("completion_sent", "completion_sent")
            accepted = await completing
            for key in keys:
                self.reach("after_completion", key)
            return accepted

        PostgresStore.complete = dying  # type: ignore[method-assign]

    def _install_transaction(self) -> None:
        transaction = Completing.transaction

        @asynccontextmanager
        async def dying(
            completing: Completing, job: ClaimedJob, note: Callable[[str], None], **given: bool
        ) -> AsyncIterator[Any]:
            async with transaction(completing, job, note, **given) as connection:
                yield connection
                self.reach("before_commit", _key_of(job))
            self.reach("after_commit", _key_of(job))

        Completing.transaction = dying  # type: ignore[method-assign]

    def _install_note(self) -> None:
        note = Diary.note

        def dying(diary: Diary, event: str, **details: Any) -> None:
            key = self._keys.get(details["job_id"]) if event == "effect" else None
            self.reach("before_effect", key)
            note(diary, event, **details)
            self.reach("after_effect", key)
            if event == "start":
                self._keys[details["job_id"]] = details["key"]

        Diary.note = dying  # type: ignore[method-assign]

    def _is_first(self, point: str) -> bool:
        try:
            (self._home / f"died.{point}").mkdir()
        except FileExistsError:
            return False
        return True


def _key_of(job: ClaimedJob) -> str | None:
    key = json.loads(job.args).get("key")
    return key if isinstance(key, str) else None
