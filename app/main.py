"""The relay's HTTP service: `python -m app.main`, or `uvicorn app.main:api`."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime
from typing import Annotated, Any

import uvicorn
from fastapi import Body, FastAPI, HTTPException, Request, Response, status
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict

from app import events
from app.dashboard import PATH, make_dashboard
from app.events import Event, Receipt
from app.procrastinate_app import app
from app.settings import settings
from forthwith.errors import (
    ArgumentsTooLarge,
    ConnectorException,
    ForthwithError,
    InvalidArgument,
)

BULK_EVENTS_MAX = 1000
HEALTH_TIMEOUT_S = 3.0


class Attempt(BaseModel):
    """A run of a job that did not succeed; `attempt` is 1 for the first run."""

    model_config = ConfigDict(from_attributes=True)

    attempt: int
    kind: str
    at: datetime
    exception_type: str | None
    message: str | None
    traceback: str | None


class JobState(BaseModel):
    """A job, waiting, running or finished, with what went wrong on the way."""

    model_config = ConfigDict(from_attributes=True)

    id: int
    status: str
    queue: str
    task_name: str
    attempts: int
    scheduled_at: datetime | None
    deferred_at: datetime | None
    started_at: datetime | None
    finished_at: datetime | None
    errors: list[Attempt] = []


@asynccontextmanager
async def lifespan(api: FastAPI) -> AsyncIterator[None]:
    """Open the app, and run a worker beside the service if the settings say so."""
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(app.open_async())
        if board is not None:
            await stack.enter_async_context(board)
        await app.apply_relay_schema_async()
        api.state.worker = _start_worker() if settings.run_worker else None
        try:
            yield
        finally:
            await _stop(api.state.worker)


def _start_worker() -> asyncio.Task[int | None]:
    worker = app.run_worker_async(
        concurrency=settings.worker_concurrency,
        install_signal_handlers=False,  # the signals are uvicorn's
        shutdown_graceful_timeout=settings.http_timeout_s,
    )
    return asyncio.create_task(worker, name="worker")


async def _stop(worker: asyncio.Task[int | None] | None) -> None:
    """Have the worker finish what it runs, and wait for it."""
    if worker is not None:
        worker.cancel()
        await asyncio.gather(worker, return_exceptions=True)


api = FastAPI(
    title="Webhook relay",
    summary="Accepts events and delivers each of them, whatever dies on the way.",
    lifespan=lifespan,
)
board = make_dashboard()
if board is not None:
    api.mount(PATH, board)


@api.post("/events", status_code=status.HTTP_202_ACCEPTED)
async def post_event(event: Event, response: Response) -> Receipt:
    """Accept one event: 202, or 200 if the same event is waiting for its delivery already."""
    (receipt,) = await events.accept([event])
    if receipt.status == "duplicate":
        response.status_code = status.HTTP_200_OK
    return receipt


@api.post("/events/bulk", status_code=status.HTTP_202_ACCEPTED)
async def post_events(
    batch: Annotated[list[Event], Body(min_length=1, max_length=BULK_EVENTS_MAX)],
) -> list[Receipt]:
    """Accept up to 1,000 events: 202, and for each, in order, whether it was a duplicate.

    If the call fails half-way, send all of it again: what was accepted is a duplicate then.
    """
    return await events.accept(batch)


@api.get("/jobs/{job_id}")
async def get_job(job_id: int) -> JobState:
    """Return a job's status and every attempt that failed, with its traceback."""
    job = await app.job_manager.get_job_async(job_id)
    if job is None:
        raise HTTPException(status.HTTP_404_NOT_FOUND, f"there is no job {job_id}")
    state = JobState.model_validate(job)
    attempts = await app.job_manager.list_attempts_async(job_id)
    return state.model_copy(update={"errors": [Attempt.model_validate(a) for a in attempts]})


@api.get("/stats")
async def get_stats() -> dict[str, Any]:
    """Return how many jobs there are, by status and by queue."""
    return {
        "jobs": await app.job_manager.count_jobs_async(),
        "queues": list(await app.job_manager.list_queues_async()),
        "workers": [
            {"name": worker.name, "pid": worker.pid, "last_seen": worker.last_seen}
            for worker in await app.job_manager.list_workers_async()
        ],
    }


@api.get("/health")
async def get_health(response: Response) -> dict[str, str]:
    """Return 200 if events can be accepted (and the worker inside runs), or else 503 and why."""
    problem = await _problem()
    if problem is None:
        return {"status": "ok"}
    response.status_code = status.HTTP_503_SERVICE_UNAVAILABLE
    return {"status": "unavailable", "reason": problem}


async def _problem() -> str | None:
    """Return what keeps the relay from working, or None."""
    worker: asyncio.Task[int | None] | None = api.state.worker
    if worker is not None and worker.done():
        why = None if worker.cancelled() else worker.exception()
        return f"the worker has stopped: {why}" if why else "the worker has stopped"
    try:
        async with asyncio.timeout(HEALTH_TIMEOUT_S):
            if not await app.job_manager.check_connection_async():
                return "the database lacks forthwith's schema"
    except TimeoutError:
        return f"the database did not answer within {HEALTH_TIMEOUT_S:g} s"
    except (ConnectorException, ForthwithError) as error:
        return f"the database: {error}"
    return None


@api.exception_handler(InvalidArgument)
async def invalid_argument(_: Request, error: InvalidArgument) -> JSONResponse:
    """Answer 413 for an event that is too large, and 422 for one that cannot be stored."""
    code = 413 if isinstance(error, ArgumentsTooLarge) else 422
    return JSONResponse({"detail": str(error)}, code)


@api.exception_handler(ConnectorException)
async def database_unavailable(_: Request, error: ConnectorException) -> JSONResponse:
    """Answer 503 while the database is away: nothing was accepted, so send it again."""
    return JSONResponse({"detail": str(error)}, 503, headers={"Retry-After": "1"})


def main() -> None:
    """Serve until SIGINT or SIGTERM."""
    uvicorn.run(api, host=settings.host, port=settings.port, access_log=False)


if __name__ == "__main__":
    main()
