"""What a worker's process serves over HTTP: metrics and health, whatever its event loop does."""

from __future__ import annotations

import asyncio
import logging
import re
import socket
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

import forthwith
from forthwith.metrics import health
from tests.support.workers import running_worker

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    import psycopg

    WaitUntil = Callable[..., Awaitable[Any]]

ENDED = "forthwith_jobs_ended_total"
PRIVATE = "argument-that-nobody-may-see"


class Scrape:
    """What a worker answers, by samples."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._samples = {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }

    def value(self, name: str, **labels: str) -> float:
        """The value of a sample; 0 if there is none."""
        return self._samples.get((name, frozenset(labels.items())), 0.0)

    def names(self) -> set[str]:
        return {name for name, _ in self._samples}


class Served:
    """A worker that serves, asked from a thread: the event loop may be blocked."""

    def __init__(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.INFO, "forthwith.metrics.monitor")
        self._caplog = caplog

    @property
    def base(self) -> str | None:
        """Where it answers, once the log says so: at a port that was free."""
        found = re.search(r"Metrics and health are at (http://\S+)/metrics", self._caplog.text)
        return None if found is None else found[1]

    def get_blocking(self, path: str) -> httpx.Response:
        assert self.base is not None
        return httpx.get(self.base + path, timeout=15)

    async def get(self, path: str) -> httpx.Response:
        return await asyncio.to_thread(self.get_blocking, path)

    async def scrape(self) -> Scrape:
        answer = await self.get("/metrics")
        assert answer.status_code == 200
        return Scrape(answer.text)

    async def is_ready(self) -> bool:
        return self.base is not None and (await self.get("/health/ready")).status_code == 200


@asynccontextmanager
async def serving(
    app: forthwith.App, wait_until: WaitUntil, caplog: pytest.LogCaptureFixture, **options: Any
) -> AsyncIterator[Served]:
    """Run a worker that serves metrics beside the block."""
    served = Served(caplog)
    async with running_worker(app, metrics_port=0, **options):
        await wait_until(served.is_ready)
        yield served


async def test_each_outcome_is_counted(
    app: forthwith.App, wait_until: WaitUntil, caplog: pytest.LogCaptureFixture
) -> None:
    @app.task(name="send", queue="mail")
    async def send(to: str) -> None: ...

    @app.task(name="fail")
    async def fail() -> None:
        raise ValueError

    @app.task(name="flaky", retry=forthwith.RetryStrategy(max_attempts=1))
    async def flaky() -> None:
        raise ValueError

    async with serving(app, wait_until, caplog) as served:
        await send.batch_defer_async(*[{"to": PRIVATE}] * 3)
        await fail.defer_async()
        await flaky.defer_async()
        labels: tuple[tuple[str, str, str, int], ...] = (
            ("mail", "send", "succeeded", 3),
            ("default", "fail", "failed", 1),
            ("default", "flaky", "retried", 1),
            ("default", "flaky", "failed", 1),
        )

        async def all_counted() -> bool:
            found = await served.scrape()
            return all(
                found.value(ENDED, queue=queue, task=task, outcome=outcome) == count
                for queue, task, outcome, count in labels
            )

        await wait_until(all_counted)
        found = await served.scrape()
    mail = {"queue": "mail", "task": "send"}
    for times in ("run", "wait"):
        assert found.value(f"forthwith_job_{times}_seconds_count", **mail) == 3
        assert found.value(f"forthwith_job_{times}_seconds_bucket", **mail, le="+Inf") == 3
    assert found.value("forthwith_claim_batch_size_sum") == 6
    assert found.value("forthwith_completion_batch_size_sum") == 6
    assert found.value("forthwith_worker_concurrency") == 1
    assert PRIVATE not in found.text


async def test_running_jobs_are_to_be_seen(
    app: forthwith.App, wait_until: WaitUntil, caplog: pytest.LogCaptureFixture
) -> None:
    go = asyncio.Event()

    @app.task(name="wait")
    async def wait() -> None:
        await go.wait()

    async with serving(app, wait_until, caplog, concurrency=2) as served:
        await wait.batch_defer_async({}, {})

        async def both_run() -> bool:
            return (await served.scrape()).value("forthwith_running_jobs") == 2

        await wait_until(both_run)
        go.set()


async def test_blocked_loop_is_seen_by_its_health(
    app: forthwith.App,
    wait_until: WaitUntil,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(health, "LIVE_WITHIN_S", 1.0)
    seen: list[httpx.Response] = []

    async with serving(app, wait_until, caplog) as served:

        @app.task(name="block")
        async def block() -> None:
            deadline_s = time.monotonic() + 15
            while time.monotonic() < deadline_s:
                seen.append(served.get_blocking("/health/live"))
                if seen[-1].status_code == 503:
                    return
                time.sleep(0.05)  # noqa: ASYNC251 -- this is what must be noticed

        await block.defer_async()
        await wait_until(lambda: seen and seen[-1].status_code == 503)
        assert "blocked for" in seen[-1].text

        async def is_alive() -> bool:
            return (await served.get("/health/live")).status_code == 200

        await wait_until(is_alive)


async def test_worker_without_its_database_is_not_ready(
    app: forthwith.App,
    wait_until: WaitUntil,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with serving(app, wait_until, caplog, update_heartbeat_interval=0.1) as served:
        # A database that has been silent for no time at all is too late.
        monkeypatch.setattr(health, "REACHABLE_WITHIN_S", -1.0)
        answer = await served.get("/health/ready")
        assert (answer.status_code, answer.text) == (503, "the database does not answer\n")


async def test_stopping_worker_is_not_ready_but_alive(
    app: forthwith.App, wait_until: WaitUntil, caplog: pytest.LogCaptureFixture
) -> None:
    go, began = asyncio.Event(), asyncio.Event()

    @app.task(name="wait")
    async def wait() -> None:
        began.set()
        await go.wait()

    served = Served(caplog)
    worker = asyncio.create_task(
        app.run_worker_async(metrics_port=0, install_signal_handlers=False)
    )
    await wait_until(served.is_ready)
    await wait.defer_async()
    await began.wait()
    worker.cancel()

    async def says_so() -> bool:
        return "stopping" in (await served.get("/health/ready")).text

    await wait_until(says_so)
    assert (await served.get("/health/live")).status_code == 200
    go.set()
    with pytest.raises(asyncio.CancelledError):
        await worker
    with pytest.raises(httpx.ConnectError):
        await served.get("/health/live")


async def test_reconnects_are_counted(
    app: forthwith.App,
    connection: psycopg.AsyncConnection[Any],
    wait_until: WaitUntil,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with serving(app, wait_until, caplog, fetch_job_polling_interval=0.2) as served:
        await connection.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity"
            " where datname = current_database() and pid <> pg_backend_pid()"
        )

        async def came_back() -> bool:
            return (await served.scrape()).value("forthwith_database_reconnects_total") > 0

        await wait_until(came_back)


async def test_what_tasks_count_themselves_is_served_too(
    app: forthwith.App, wait_until: WaitUntil, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving(app, wait_until, caplog) as served:
        assert "python_info" in (await served.scrape()).names()


async def test_unknown_path_says_what_there_is(
    app: forthwith.App, wait_until: WaitUntil, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving(app, wait_until, caplog) as served:
        answer = await served.get("/")
        assert answer.status_code == 404
        assert "/metrics" in answer.text


async def test_port_that_is_taken_is_said_before_anything_starts(app: forthwith.App) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(forthwith.errors.InvalidArgument, match=f"metrics_port.*{port}.*use"):
            await app.run_worker_async(metrics_port=port)


@pytest.mark.parametrize("port", [-1, 65_536, "9100", 1.5])
async def test_port_must_be_one(app: forthwith.App, port: Any) -> None:
    with pytest.raises(forthwith.errors.InvalidArgument, match="metrics_port"):
        await app.run_worker_async(metrics_port=port)
