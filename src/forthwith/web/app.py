"""The routes of the dashboard, as one FastAPI application."""

from __future__ import annotations

from contextlib import asynccontextmanager
from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from fastapi import FastAPI, Request, Response
from starlette.staticfiles import StaticFiles

from forthwith.web import api, login
from forthwith.web.api.errors import document_problems
from forthwith.web.dependencies import dashboard_of
from forthwith.web.events import EventStream
from forthwith.web.failures import HANDLED, handle
from forthwith.web.page_hooks import pages

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from forthwith.web.asgi import Dashboard

STATIC = Path(__file__).parent / "static"
METRICS = "forthwith.metrics.web"


def make_routes(dashboard: Dashboard) -> FastAPI:
    """Return the application with everything that a dashboard answers."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with dashboard:
            yield

    routes = FastAPI(
        title="forthwith",
        summary="What the jobs do, and what to do about them.",
        version=version("forthwith"),
        openapi_url="/api/openapi.json",
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
        exception_handlers=dict.fromkeys((*HANDLED, Exception), handle),
    )
    routes.state.dashboard = dashboard
    routes.include_router(api.router)
    routes.include_router(login.router)
    routes.add_api_route("/events", get_events, include_in_schema=False)
    _include_metrics(routes)
    _include_pages(routes)
    document_problems(routes)
    return routes


async def get_events(request: Request) -> Response:
    """Stream live events, see `Events`."""
    return EventStream(dashboard_of(request).events)


def _include_metrics(routes: FastAPI) -> None:
    if find_spec("forthwith.metrics") and find_spec(METRICS):
        routes.include_router(import_module(METRICS).router)


def _include_pages(routes: FastAPI) -> None:
    module = pages()
    if module is None:
        return
    routes.include_router(module.router, include_in_schema=False)
    if STATIC.is_dir():
        routes.mount("/static", StaticFiles(directory=STATIC), name="static")
