"""A worker of the lab with one mechanism broken: `FORTHWITH_TEST_MUTATION` names which.

`FORTHWITH_TEST_CONDITIONS` names, separated by commas, what is the same for the broken worker and for
the whole one: an answer that is lost, a place where the process dies, a small buffer.

Each mutation is a function here. Where it replaces a text of a statement, the text must be there: a
mutation that changes nothing would prove nothing.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from contextlib import asynccontextmanager
from importlib import resources
from typing import TYPE_CHECKING, Any

from forthwith.engine import claimer, completer, runner, watch, worker
from forthwith.engine.lease_keeper import LeaseKeeper
from forthwith.engine.listener import Listener
from forthwith.engine.rescuer import Rescuer
from forthwith.errors import ConnectorException, DatabaseUnavailable
from forthwith.outcome import Outcome, Retry, failure_of
from forthwith.store import statements
from forthwith.store.completing import Completing
from forthwith.store.postgres import PostgresStore
from forthwith.verify import worker_main

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

FENCE = "  and job.lease_token = outcome.lease_token\n"
RAISE = "lease_token = job.lease_token + 1"
TINY_BACKLOG = 2

MUTATIONS: dict[str, Callable[[], None]] = {}
CONDITIONS: dict[str, Callable[[], None]] = {}


def mutation(mutate: Callable[[], None]) -> Callable[[], None]:
    MUTATIONS[mutate.__name__] = mutate
    return mutate


def condition(apply: Callable[[], None]) -> Callable[[], None]:
    CONDITIONS[apply.__name__] = apply
    return apply


# -- texts of statements ------------------------------------------------------------------------------

_replaced: dict[str, str] = {}


def replace_in_query(name: str, old: str, new: str) -> None:
    """Replace a text, which must be there once, in a statement."""
    text = (resources.files("forthwith.store") / "queries" / f"{name}.sql").read_text("utf-8")
    present = _replaced.get(text, text)
    assert present.count(old) == 1, f"{name}.sql has {old!r} {present.count(old)} times"
    _replaced[text] = present.replace(old, new)


def _use_replaced_queries() -> None:
    in_schema = statements.in_schema
    statements.in_schema = lambda text, schema: in_schema(_replaced.get(text, text), schema)
    statements.statements.cache_clear()


# -- the fence ----------------------------------------------------------------------------------------


@mutation
def complete_without_fence() -> None:
    replace_in_query("complete", FENCE, "")


@mutation
def retry_without_fence() -> None:
    replace_in_query("retry", FENCE, "")


@mutation
def release_without_fence() -> None:
    replace_in_query("release", FENCE, "")


@mutation
def token_not_raised_at_claim() -> None:
    replace_in_query("claim", RAISE, "lease_token = job.lease_token")


@mutation
def token_not_raised_at_release() -> None:
    replace_in_query("release", RAISE, "lease_token = job.lease_token")


@mutation
def token_not_raised_at_retry() -> None:
    replace_in_query("retry", RAISE, "lease_token = job.lease_token")


@mutation
def lines_never_advanced() -> None:
    replace_in_query("advance_lines", "text[])", "text[])[2:])")
    replace_in_query("advance_lines", "%(locks)s", "(%(locks)s")


# -- leases and rescues -------------------------------------------------------------------------------


@mutation
def rescue_of_the_living() -> None:
    """The lease is ignored: whoever is looked at is dead."""

    def why_gone(self: watch.Watch, _sighting: watch.Sighting, _look: watch.Look) -> str | None:
        return "silent"

    watch.Watch._why_gone = why_gone  # type: ignore[method-assign]


@mutation
def no_rescue() -> None:
    async def run(self: Rescuer) -> None:
        await asyncio.Event().wait()

    Rescuer.run = run  # type: ignore[method-assign]


@mutation
def lease_renewed_by_the_event_loop() -> None:
    start, renew = LeaseKeeper.start, LeaseKeeper._renew
    loops: list[asyncio.AbstractEventLoop] = []

    async def starting(self: LeaseKeeper) -> None:
        loops.append(asyncio.get_running_loop())
        await start(self)

    async def renewing(self: LeaseKeeper) -> None:
        turn = asyncio.run_coroutine_threadsafe(asyncio.sleep(0), loops[0])
        await asyncio.wrap_future(turn)
        await renew(self)

    LeaseKeeper.start, LeaseKeeper._renew = starting, renewing  # type: ignore[method-assign]


@mutation
def lease_given_up_when_told_to_stop() -> None:
    leave = worker.Worker._leave

    async def leaving(self: Any, *arguments: Any) -> int:
        await self._lease.stop(leaves_jobs=True, timeout_s=1.0)
        return await leave(self, *arguments)

    worker.Worker._leave = leaving  # type: ignore[method-assign]


@mutation
def suspects_claimed_together() -> None:
    replace_in_query("claim_suspect", "limit 1\n", "limit 100\n")
    runner.Runners.has_suspect = False  # type: ignore[assignment,method-assign]


# -- outcomes -----------------------------------------------------------------------------------------


@mutation
def outcomes_not_sent_again() -> None:
    async def persist(self: Any, outcomes: list[Outcome]) -> set[int]:
        try:
            return await self._store.complete(outcomes, repeated=False)  # type: ignore[no-any-return]
        except DatabaseUnavailable:
            return {outcome.job.id for outcome in outcomes}

    completer.Completer._persist = persist  # type: ignore[method-assign]


@mutation
def outcomes_dropped_when_the_buffer_is_full() -> None:
    add = completer.Completer.add

    def adding(self: completer.Completer, outcome: Outcome) -> None:
        if self.backlog < claimer.BACKLOG_MAX:
            add(self, outcome)

    completer.Completer.add = adding  # type: ignore[method-assign]


@mutation
def history_written_in_another_transaction() -> None:
    """The row is deleted and that is committed, then comes history; the process dies in between."""
    replace_in_query("complete", "where %(keep)s::boolean", "where %(keep)s::boolean and false")
    _after(PostgresStore, "complete", lambda: os.kill(os.getpid(), signal.SIGKILL))


@mutation
def effect_committed_apart_from_completion() -> None:
    transaction = Completing.transaction

    @asynccontextmanager
    async def apart(self: Completing, job: Any, note: Any, **given: bool) -> AsyncIterator[Any]:
        async with self._pool.lent() as connection:
            await connection.set_autocommit(True)
            yield connection
        async with transaction(self, job, note, **given):
            pass

    Completing.transaction = apart  # type: ignore[method-assign,assignment]


@mutation
def lost_lease_does_not_roll_back_the_effect() -> None:
    steps = Completing._steps

    def unfenced(self: Completing, *arguments: Any, **given: Any) -> Iterator[Any]:
        taking = steps(self, *arguments, **given)
        step = next(taking)
        while True:
            rows = yield step
            try:
                step = taking.send(rows or [(0,)] if step.name == "complete" else rows)
            except StopIteration as end:
                return end.value

    Completing._steps = unfenced  # type: ignore[method-assign,assignment]


# -- claims and wake-ups ------------------------------------------------------------------------------


@mutation
def orphans_not_given_back() -> None:
    async def give_back(self: claimer.Claimer) -> None:
        self._orphan_checks_s.clear()

    claimer.Claimer._give_back_orphans = give_back  # type: ignore[method-assign]


@mutation
def notifications_the_only_wake_up() -> None:
    """No polling, and a listener that died stays dead."""

    async def sleep(self: claimer.Claimer) -> None:
        await self._hint.wait()

    async def listen(self: Listener) -> None:
        try:
            await self._store.listen(self._hear, self._listening)
        except ConnectorException:
            await asyncio.Event().wait()

    claimer.Claimer._sleep = sleep  # type: ignore[method-assign]
    Listener.run = listen  # type: ignore[method-assign]


# -- leaving ------------------------------------------------------------------------------------------


@mutation
def stop_spends_attempts() -> None:
    outcome_of = runner.outcome_of

    def spending(error: BaseException, execution: Any, plan: Any) -> Outcome:
        if execution.abort_reason is not None:
            failure = failure_of(error, "aborted")
            return Retry(execution.job, failure, None, None, None, None, None)
        return outcome_of(error, execution, plan)

    runner.outcome_of = spending


@mutation
def stop_forgets_what_has_not_started() -> None:
    drain = worker.Buffer.drain

    def draining(self: Any) -> list[Any]:
        drain(self)
        return []

    worker.Buffer.drain = draining  # type: ignore[method-assign]


@mutation
def leaves_when_the_database_does() -> None:
    fill = claimer.Claimer._fill

    async def filling(self: claimer.Claimer) -> None:
        try:
            await fill(self)
        except DatabaseUnavailable:
            self._on_caught_up()

    claimer.Claimer._fill = filling  # type: ignore[method-assign]


# -- conditions ---------------------------------------------------------------------------------------


@condition
def answer_to_first_completion_is_lost() -> None:
    _after(PostgresStore, "complete", _lose)


@condition
def first_completion_is_not_sent() -> None:
    complete = PostgresStore.complete
    once = [True]

    async def failing(self: PostgresStore, *arguments: Any, **options: Any) -> Any:
        if once and once.pop():
            _lose()
        return await complete(self, *arguments, **options)

    PostgresStore.complete = failing  # type: ignore[method-assign]


@condition
def answer_to_first_claim_is_lost() -> None:
    _after(PostgresStore, "claim", _lose)


@condition
def tiny_backlog() -> None:
    claimer.BACKLOG_MAX = TINY_BACKLOG


def _lose() -> None:
    raise DatabaseUnavailable("the connection was lost, as planned")


def _after(kind: type, name: str, call: Callable[[], None]) -> None:
    """Call after the first time that the method has returned something."""
    method, once = getattr(kind, name), [True]

    async def calling(self: Any, *arguments: Any, **options: Any) -> Any:
        answer = await method(self, *arguments, **options)
        if answer and once and once.pop():
            call()
        return answer

    setattr(kind, name, calling)


def main() -> None:
    """Apply what is asked for, and run the worker."""
    watch.FIRST_PATIENCE_S = 0.2  # these labs have no server that comes back
    for name in filter(None, os.environ.get("FORTHWITH_TEST_CONDITIONS", "").split(",")):
        CONDITIONS[name]()
    if name := os.environ.get("FORTHWITH_TEST_MUTATION"):
        MUTATIONS[name]()
    _use_replaced_queries()
    worker_main.main(json.loads(sys.argv[1]))


if __name__ == "__main__":
    main()
