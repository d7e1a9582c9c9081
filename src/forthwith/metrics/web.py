"""Metrics and health checks of the dashboard: what the database tells."""

from __future__ import annotations

import asyncio
import importlib.util
from typing import TYPE_CHECKING

from fastapi import APIRouter, Request, Response
from fastapi.responses import PlainTextResponse

from forthwith.errors import ConnectorException, DatabaseUnavailable
from forthwith.operations.snapshot import Snapshot
from forthwith.web.dependencies import AtDesk  # noqa: TC001 -- FastAPI reads the annotations

if TYPE_CHECKING:
    from forthwith.metrics.queue_metrics import QueueMetrics
    from forthwith.operations import Desk

ANSWER_WITHIN_S = 5.0

router = APIRouter(include_in_schema=False)


@router.get("/metrics")
async def metrics(request: Request, desk: AtDesk) -> Response:
    """Tell Prometheus of queues and workers; 503 where the database does not answer in time."""
    if importlib.util.find_spec("prometheus_client") is None:
        return PlainTextResponse("Needs prometheus-client: pip install 'forthwith[metrics]'\n", 501)
    from forthwith.metrics.exposition import exposition

    try:
        async with asyncio.timeout(ANSWER_WITHIN_S):
            found = await _shared(request, desk).get()
    except (ConnectorException, TimeoutError) as error:
        return _unavailable(error)
    content_type, body = exposition(request.headers.get("accept", ""), found)
    return Response(body, media_type=content_type)


@router.get("/health/live")
async def live() -> Response:
    """Say that the process answers."""
    return PlainTextResponse("live\n")


@router.get("/health/ready")
async def ready(desk: AtDesk) -> Response:
    """Say whether the database answers."""
    try:
        async with asyncio.timeout(ANSWER_WITHIN_S):
            await desk.workers()
    except (ConnectorException, TimeoutError) as error:
        return _unavailable(error)
    return PlainTextResponse("ready\n")


def _shared(request: Request, desk: Desk) -> Snapshot[QueueMetrics]:
    """Return what this and other scrapes share."""
    state = request.app.state
    if not hasattr(state, "queue_metrics"):

        async def ask() -> QueueMetrics:
            from forthwith.metrics.queue_metrics import QueueMetrics

            asked = (desk.queues(), desk.live_counts(), desk.workers())
            return QueueMetrics(*await asyncio.gather(*asked))

        state.queue_metrics = Snapshot(ask)
    shared: Snapshot[QueueMetrics] = state.queue_metrics
    return shared


def _unavailable(error: Exception) -> Response:
    # Everybody may ask, and the error may name the server and the user.
    away = isinstance(error, TimeoutError | DatabaseUnavailable)
    return PlainTextResponse(
        "the database does not answer\n" if away else "the database cannot be used\n", 503
    )
