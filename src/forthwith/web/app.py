"""The routes of the dashboard, as one FastAPI application."""

from __future__ import annotations

from contextlib import asynccontextmanager
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from fastapi import FastAPI
from starlette.staticfiles import StaticFiles

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from forthwith.web.asgi import Dashboard

STATIC = Path(__file__).parent / "static"


def make_routes(dashboard: Dashboard) -> FastAPI:
    """Return the application with everything that a dashboard answers."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        try:
            yield
        finally:
            await dashboard.aclose()

    routes = FastAPI(title="forthwith", docs_url=None, redoc_url=None, lifespan=lifespan)
    routes.state.dashboard = dashboard
    _include_pages(routes)
    return routes


def _include_pages(routes: FastAPI) -> None:
    if find_spec("forthwith.web.pages") is None:
        return
    pages = import_module("forthwith.web.pages")
    routes.include_router(pages.router, include_in_schema=False)
    if STATIC.is_dir():
        routes.mount("/static", StaticFiles(directory=STATIC), name="static")
