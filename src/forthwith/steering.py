"""Steers what workers do next: pauses queues and periodic tasks, and lets them go on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from procrastinate.tasks import Task

from forthwith.connector import Connector
from forthwith.errors import ForthwithError, InvalidArgument
from forthwith.options import check_name, kind, text_problem
from forthwith.store.statements import channel_of

if TYPE_CHECKING:
    import datetime
    from collections.abc import Awaitable, Callable

    from procrastinate.periodic import PeriodicRegistry

R = TypeVar("R")


class Steering:
    """What an app can hold up and let go. All of it is in the database, and counts for all workers."""

    connector: Any
    periodic_registry: PeriodicRegistry

    async def pause_queue_async(self, queue: str) -> bool:
        """Let no worker start a job of this queue, until `resume_queue`. Returns False if it was paused.

        From when this returns no claim takes a job of it. What workers had claimed before and not
        started they give back, within a second, and no attempt is used. What runs goes on. Jobs can
        be deferred as ever, and wait. The queue need not have any yet.

        A job that waits at the head of a lock's line in a paused queue holds up the others with
        that lock, in other queues too.

        Raises `InvalidArgument`, `NotPermitted`, `DatabaseUnavailable`.
        """
        check_name("queue", queue)
        channel = channel_of(self._connector.schema)
        return bool(await self._rows("pause_queue", queue=queue, channel=channel))

    def pause_queue(self, queue: str) -> bool:
        """As `pause_queue_async`, synchronously."""
        return self._wait(self.pause_queue_async, queue)

    async def resume_queue_async(self, queue: str) -> bool:
        """Let workers start jobs of this queue again, at once. Returns False if it was not paused.

        Raises as `pause_queue`.
        """
        check_name("queue", queue)
        was_paused = bool(await self._rows("resume_queue", queue=queue))
        # After the commit: who fell asleep before sees it, or is woken.
        await self._rows("wake", queues=[queue])
        return was_paused

    def resume_queue(self, queue: str) -> bool:
        """As `resume_queue_async`, synchronously."""
        return self._wait(self.resume_queue_async, queue)

    async def paused_queues_async(self) -> dict[str, datetime.datetime]:
        """Return the queues that are paused, and since when. Raises as `pause_queue`."""
        return {queue: paused_at for queue, paused_at in await self._rows("paused_queues")}  # noqa: C416

    def paused_queues(self) -> dict[str, datetime.datetime]:
        """As `paused_queues_async`, synchronously."""
        return self._wait(self.paused_queues_async)

    async def pause_periodic_async(
        self, task: str | Task[..., Any, ...], periodic_id: str = ""
    ) -> bool:
        """Let the ticks of a periodic task pass by, until `resume_periodic`. Returns False if it was paused.

        `task` is the task or its name. A tick that passed meanwhile is not made up for later. Jobs that
        were deferred before are not affected, nor are the task's other schedules.

        Raises `InvalidArgument` if no worker and not this app knows the periodic task, `NotPermitted`,
        `DatabaseUnavailable`.
        """
        return not await self._changed("pause_periodic", task, periodic_id)

    def pause_periodic(self, task: str | Task[..., Any, ...], periodic_id: str = "") -> bool:
        """As `pause_periodic_async`, synchronously."""
        return self._wait(self.pause_periodic_async, task, periodic_id)

    async def resume_periodic_async(
        self, task: str | Task[..., Any, ...], periodic_id: str = ""
    ) -> bool:
        """Let a periodic task go on with its next tick. Returns False if it was not paused.

        Raises as `pause_periodic`.
        """
        return await self._changed("resume_periodic", task, periodic_id)

    def resume_periodic(self, task: str | Task[..., Any, ...], periodic_id: str = "") -> bool:
        """As `resume_periodic_async`, synchronously."""
        return self._wait(self.resume_periodic_async, task, periodic_id)

    async def note_periodic_tasks_async(self) -> None:
        """Note in the database which periodic tasks this app has. Workers do so by themselves."""
        known = list(self.periodic_registry.periodic_tasks.values())
        if known:
            await self._rows(
                "note_periodic",
                tasks=[each.task.name for each in known],
                periodic_ids=[each.periodic_id for each in known],
                crons=[each.cron for each in known],
                queues=[each.configure_kwargs.get("queue") or each.task.queue for each in known],
            )

    async def _changed(self, statement: str, task: object, periodic_id: object) -> bool:
        """Pause or resume. Returns whether it was paused before."""
        name = check_name("task", task.name if isinstance(task, Task) else task)
        periodic_id = _check_periodic_id(periodic_id)
        if (name, periodic_id) in self.periodic_registry.periodic_tasks:
            await self.note_periodic_tasks_async()  # perhaps no worker has run yet
        rows = await self._rows(statement, task=name, periodic_id=periodic_id)
        if not rows:
            raise InvalidArgument(
                "task", f"no worker knows a periodic task {name!r} with periodic_id {periodic_id!r}"
            )
        return bool(rows[0][0])

    @property
    def _connector(self) -> Connector:
        if not isinstance(self.connector, Connector):
            raise ForthwithError(
                "This works on PostgreSQL alone: the app's connector is "
                f"{type(self.connector).__name__}, which keeps nothing of the kind"
            )
        return self.connector

    async def _rows(self, statement: str, /, **parameters: Any) -> list[tuple[Any, ...]]:
        return await self._connector.call(
            lambda session: session.queries.rows_of(statement, **parameters)
        )

    def _wait(self, method: Callable[..., Awaitable[R]], *positional: Any, **arguments: Any) -> R:
        """Run one of our own coroutines for a synchronous caller."""
        return self._connector.run(lambda _session: method(*positional, **arguments))


def _check_periodic_id(periodic_id: object) -> str:
    if not isinstance(periodic_id, str):
        raise InvalidArgument("periodic_id", f"must be a string, not {kind(periodic_id)}")
    problem = text_problem(periodic_id)
    if problem:
        raise InvalidArgument("periodic_id", problem)
    return periodic_id
