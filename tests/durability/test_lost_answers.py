"""Statements that took effect, though their answers were lost on the way back."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import pytest

from forthwith.errors import DatabaseUnavailable
from forthwith.store.postgres import PostgresStore
from tests.support.workers import count, running_worker, status

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    import forthwith

    WaitUntil = Callable[..., Awaitable[Any]]


@pytest.fixture
def lose_first_answer(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], list[Any]]:
    """Let the first non-empty answer of a store's method be lost; returns the list of those lost."""

    def lose(method: str) -> list[Any]:
        lost: list[Any] = []
        original = getattr(PostgresStore, method)

        async def losing(self: PostgresStore, *args: Any, **options: Any) -> Any:
            answer = await original(self, *args, **options)
            if answer and not lost:
                lost.append(answer)
                raise DatabaseUnavailable("the connection was lost before the answer came")
            return answer

        monkeypatch.setattr(PostgresStore, method, losing)
        return lost

    return lose


async def test_jobs_of_a_claim_whose_answer_was_lost_run_once(
    app: forthwith.App,
    lose_first_answer: Callable[[str], list[Any]],
    wait_until: WaitUntil,
    caplog: pytest.LogCaptureFixture,
) -> None:
    ran: list[int] = []

    @app.task
    async def work(number: int) -> None:
        ran.append(number)

    lost = lose_first_answer("claim")
    await work.batch_defer_async(*({"number": number} for number in range(10)))
    async with running_worker(app, concurrency=10):
        await wait_until(lambda: count_is(app, "succeeded", 10))
    assert lost
    assert sorted(ran) == list(range(10))
    assert "whose claim's answer was lost" in caplog.text


async def test_outcomes_whose_answer_was_lost_count_once_and_as_accepted(
    app: forthwith.App,
    lose_first_answer: Callable[[str], list[Any]],
    wait_until: WaitUntil,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING)
    ran: list[str] = []

    @app.task(retry=1)
    async def work(key: str) -> None:
        ran.append(key)
        if key == "fails" or (key == "retried" and ran.count(key) == 1):
            raise ValueError(key)

    keys = ["succeeds", "retried", "fails"]
    ids = {key: await work.configure(lock=key).defer_async(key=key) for key in keys}
    lost = lose_first_answer("complete")
    async with running_worker(app, concurrency=3):
        await wait_until(lambda: ended(app, ids["fails"]))
        await wait_until(lambda: count_is(app, "succeeded", 2))
    assert lost
    assert sorted(ran) == ["fails", "fails", "retried", "retried", "succeeds"]
    attempts = {
        key: [a.attempt for a in await app.job_manager.list_attempts_async(job_id)]
        for key, job_id in ids.items()
    }
    assert attempts == {"succeeds": [], "retried": [1], "fails": [1, 2]}
    assert "LeaseLost" not in caplog.text


async def test_job_that_must_not_run_twice_runs_once_though_the_answer_to_its_start_was_lost(
    app: forthwith.App,
    lose_first_answer: Callable[[str], list[Any]],
    wait_until: WaitUntil,
) -> None:
    ran: list[str] = []

    @app.task(on_crash="fail")
    async def work() -> None:
        ran.append("once")

    lost = lose_first_answer("mark_started")
    job_id = await work.defer_async()
    async with running_worker(app):
        await wait_until(lambda: ended(app, job_id))
    assert lost
    assert await status(app, job_id) == "succeeded"
    assert ran == ["once"]


async def count_is(app: forthwith.App, kind: str, expected: int) -> bool:
    """Whether there are that many jobs of a status."""
    return await count(app, kind) == expected


async def ended(app: forthwith.App, job_id: int) -> bool:
    """Whether a job is over."""
    return await status(app, job_id) not in ("todo", "doing")
