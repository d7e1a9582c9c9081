"""A job's trace goes from its defer to all of its runs; without tracing, nobody pays for it."""

from __future__ import annotations

from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import procrastinate.jobs
import psycopg
import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

import forthwith
from forthwith import tracing
from tests.support.workers import run_until_idle
from tests.unit.claimed import claimed_job

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from opentelemetry.sdk.trace import ReadableSpan

PRIVATE = "argument-that-nobody-may-see"


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemorySpanExporter]:
    """All spans that have ended."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(tracing, "tracer", lambda: provider.get_tracer("test"))
    yield exporter
    provider.shutdown()


def of_kind(spans: InMemorySpanExporter, kind: SpanKind) -> list[ReadableSpan]:
    return [span for span in spans.get_finished_spans() if span.kind is kind]


def trace_ids(found: list[ReadableSpan]) -> set[int]:
    return {span.context.trace_id for span in found}


@asynccontextmanager
async def opened(url: str, **options: Any) -> AsyncIterator[forthwith.App]:
    """An app with three tasks, that traces."""
    app = forthwith.App(url, **{"tracing": True, **options})
    seen: list[int] = []
    app.seen = seen  # type: ignore[attr-defined]

    def look() -> None:
        seen.append(trace.get_current_span().get_span_context().trace_id)

    @app.task(name="send", queue="mail")
    async def send(to: str) -> None:
        look()

    @app.task(name="sync")
    def sync() -> None:
        look()

    @app.task(name="flaky", retry=forthwith.RetryStrategy(max_attempts=1), pass_context=True)
    async def flaky(context: forthwith.JobContext, to: str) -> None:
        if context.job.attempts == 0:
            raise ValueError("went wrong")

    async with app.open_async():
        yield app


async def test_run_is_a_child_of_its_defer(database_url: str, spans: InMemorySpanExporter) -> None:
    async with opened(database_url) as app:
        job_id = await app.configure_task("send").defer_async(to=PRIVATE)
        await run_until_idle(app)
    [deferred], [ran] = of_kind(spans, SpanKind.PRODUCER), of_kind(spans, SpanKind.CONSUMER)
    assert ran.parent is not None
    assert ran.parent.span_id == deferred.context.span_id
    assert app.seen == [deferred.context.trace_id]  # type: ignore[attr-defined]
    assert (deferred.name, ran.name) == ("defer mail", "run mail")
    assert dict(deferred.attributes or {}) == {
        "messaging.system": "forthwith",
        "messaging.operation.name": "defer",
        "messaging.operation.type": "send",
        "messaging.destination.name": "mail",
        "messaging.message.id": str(job_id),
        "forthwith.task": "send",
    }
    assert dict(ran.attributes or {}) == {
        "messaging.system": "forthwith",
        "messaging.operation.name": "run",
        "messaging.operation.type": "process",
        "messaging.destination.name": "mail",
        "messaging.message.id": str(job_id),
        "forthwith.task": "send",
        "forthwith.attempt": 1,
    }


async def test_retries_stay_in_the_trace_and_say_what_went_wrong(
    database_url: str, spans: InMemorySpanExporter
) -> None:
    async with opened(database_url) as app:
        await app.configure_task("flaky").defer_async(to=PRIVATE)
        await run_until_idle(app)
    runs = of_kind(spans, SpanKind.CONSUMER)
    assert [run.attributes and run.attributes["forthwith.attempt"] for run in runs] == [1, 2]
    assert trace_ids(runs) == trace_ids(of_kind(spans, SpanKind.PRODUCER))
    failed, succeeded = runs
    assert (failed.status.status_code, succeeded.status.status_code) == (
        StatusCode.ERROR,
        StatusCode.UNSET,
    )
    [event] = failed.events
    assert event.attributes is not None
    assert event.attributes["exception.message"] == "went wrong"
    assert failed.attributes is not None
    assert failed.attributes["error.type"] == "ValueError"
    assert PRIVATE not in "".join(span.to_json() for span in spans.get_finished_spans())


async def test_batch_is_one_span_above_all_of_its_jobs(
    database_url: str, spans: InMemorySpanExporter
) -> None:
    async with opened(database_url) as app:
        ids = await app.configure_task("send").batch_defer_async(*[{"to": PRIVATE}] * 3)
        await run_until_idle(app)
    [deferred] = of_kind(spans, SpanKind.PRODUCER)
    assert deferred.attributes is not None
    assert deferred.attributes["messaging.batch.message_count"] == len(ids)
    runs = of_kind(spans, SpanKind.CONSUMER)
    assert [run.parent and run.parent.span_id for run in runs] == [deferred.context.span_id] * 3


async def test_sync_task_runs_in_its_span(database_url: str, spans: InMemorySpanExporter) -> None:
    async with opened(database_url) as app:
        await app.configure_task("sync").defer_async()
        await run_until_idle(app)
    assert set(app.seen) == trace_ids(of_kind(spans, SpanKind.CONSUMER))  # type: ignore[attr-defined]


def noted(url: str) -> int:
    with psycopg.connect(url) as connection:
        [(count,)] = connection.execute("select count(*) from forthwith.job_trace").fetchall()
        return int(count)


@pytest.mark.parametrize("way", ["one", "several", "different"])
async def test_callers_transaction_takes_the_trace_with_the_job(
    database_url: str, spans: InMemorySpanExporter, way: str
) -> None:
    async with opened(database_url) as app:
        async with await psycopg.AsyncConnection.connect(database_url) as connection:
            await defer(app, connection, way)
            await connection.rollback()
            assert noted(database_url) == 0
            ids = await defer(app, connection, way)
            await connection.commit()
        assert noted(database_url) == len(ids)
        await run_until_idle(app)
    assert trace_ids(of_kind(spans, SpanKind.CONSUMER)) <= trace_ids(
        of_kind(spans, SpanKind.PRODUCER)
    )


async def defer(app: forthwith.App, connection: Any, way: str) -> list[int]:
    options = {"connection": connection}
    if way == "one":
        return [await app.configure_task("send", **options).defer_async(to="x")]
    if way == "different":  # those go one by one
        options["queueing_lock"] = "key"
        return await app.configure_task("send", **options).batch_defer_async({"to": "x"})
    return await app.configure_task("send", **options).batch_defer_async({"to": "x"}, {"to": "y"})


@pytest.mark.parametrize("way", ["one", "several", "different"])
def test_sync_defers_are_traced(database_url: str, spans: InMemorySpanExporter, way: str) -> None:
    app = forthwith.App(database_url, tracing=True)
    own = psycopg.connect(database_url)
    with app.open(), own:
        for connection in (None, own):
            lock = f"{connection is None}" if way == "different" else None
            send = app.configure_task(
                "send", connection=connection, queueing_lock=lock, task_kwargs={"to": "x"}
            )
            if way == "one":
                send.defer()
            else:
                send.batch_defer(*[{}] * (1 if way == "different" else 2))
    assert noted(database_url) == (4 if way == "several" else 2)
    assert len(of_kind(spans, SpanKind.PRODUCER)) == 2


async def test_defer_that_fails_is_an_error_and_leaves_no_trace(
    database_url: str, spans: InMemorySpanExporter
) -> None:
    async with opened(database_url) as app:
        send = app.configure_task("send", queueing_lock="key")
        await send.defer_async(to="x")
        with pytest.raises(forthwith.errors.AlreadyEnqueued):
            await send.defer_async(to="x")
    assert noted(database_url) == 1
    _, failed = of_kind(spans, SpanKind.PRODUCER)
    assert failed.status.status_code is StatusCode.ERROR


async def test_outer_span_is_above_all(database_url: str, spans: InMemorySpanExporter) -> None:
    async with opened(database_url) as app:
        with tracing.tracer().start_as_current_span("request") as request:
            await app.configure_task("send").defer_async(to="x")
        await run_until_idle(app)
    assert trace_ids(list(spans.get_finished_spans())) == {request.get_span_context().trace_id}


async def test_job_whose_deferrer_does_not_trace_begins_a_trace(
    database_url: str, spans: InMemorySpanExporter
) -> None:
    async with opened(database_url, tracing=False) as app:
        await app.configure_task("send").defer_async(to="x")
        tracing.instrument(app)
        with tracing.tracer().start_as_current_span("around the worker"):
            await run_until_idle(app)
    [ran] = of_kind(spans, SpanKind.CONSUMER)
    assert ran.parent is None


async def test_without_tracing_no_statement_touches_the_traces(
    database_url: str, connection: psycopg.AsyncConnection[Any], spans: InMemorySpanExporter
) -> None:
    await connection.execute("drop table forthwith.job_trace")  # whoever looks fails
    async with opened(database_url, tracing=False) as app:
        with tracing.tracer().start_as_current_span("request"):
            await app.configure_task("send").defer_async(to="x")
            await app.configure_task("send").batch_defer_async({"to": "x"}, {"to": "y"})
        await run_until_idle(app)
        assert len(app.seen) == 3  # type: ignore[attr-defined]
    assert not of_kind(spans, SpanKind.CONSUMER)
    assert not of_kind(spans, SpanKind.PRODUCER)


async def test_jobs_run_though_their_traces_cannot_be_read(
    database_url: str, connection: psycopg.AsyncConnection[Any], spans: InMemorySpanExporter
) -> None:
    async with opened(database_url) as app:
        await app.configure_task("send").defer_async(to="x")
        await connection.execute("drop table forthwith.job_trace")
        await run_until_idle(app)
        assert len(app.seen) == 1  # type: ignore[attr-defined]
    [ran] = of_kind(spans, SpanKind.CONSUMER)
    assert ran.parent is None


async def test_traces_of_jobs_that_never_ran_are_forgotten(
    monkeypatch: pytest.MonkeyPatch, spans: InMemorySpanExporter
) -> None:
    monkeypatch.setattr(tracing, "KEPT_MAX", 3)
    found = forthwith.job.Trace("00-" + "1" * 32 + "-" + "2" * 16 + "-01", None)

    class FakeTraces:
        async def read(self, ids: list[int]) -> dict[int, forthwith.job.Trace]:
            return dict.fromkeys(ids, found)

    worker = tracing.WorkerTracing(FakeTraces())  # type: ignore[arg-type]
    await worker.load([claimed_job(number) for number in range(1, 6)])
    for number in (1, 5):
        job = procrastinate.jobs.Job(
            id=number, queue="mail", lock=None, queueing_lock=None, task_name="send"
        )

        async def call() -> None: ...

        await worker.around(call, SimpleNamespace(job=job), None)  # type: ignore[arg-type]
    first, last = of_kind(spans, SpanKind.CONSUMER)
    assert first.parent is None
    assert last.parent is not None
