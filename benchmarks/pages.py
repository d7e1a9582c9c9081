"""`python -m benchmarks.pages`: how long an operator waits for a page, on full tables.

Fills a database, then asks each question of the desk and gets each page of the dashboard and each answer of
its API 20 times. Costly counts are shared for a while, as they are among operators; what an answer takes
when it has to count anew stands in a column of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import re
import statistics
import sys
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click
import psycopg
from rich.console import Console
from rich.table import Table

import forthwith
from benchmarks.server import open_server
from forthwith.operations import Desk, JobFilter

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence

    import httpx

    from benchmarks.server import Server

CALLS = 20
PORTION = 500_000
MEDIAN_MAX_MS = 200.0
NOT_PAGES = ("/events", "/log", "/static")
JOB_FILTERS = (
    *("status=todo", "status=running", "status=failed", "status=succeeded", "queue=queue-3"),
    *(
        "queue=none",
        "task=none",
        "lock=lock-50",
        "worker_id=3",
        "error=KeyError",
        "text=customer77",
    ),
)
_STEP = re.compile(r"^-- step: (.+)$", re.MULTILINE)


class NotServed(Exception):  # noqa: N818 -- what is the matter
    """A path has no page."""


Calls = dict[str, "Callable[[], Awaitable[Any]]"]


@click.command()
@click.option("--finished", type=click.IntRange(1000), default=10_000_000, show_default=True)
@click.option("--waiting", type=click.IntRange(1000), default=1_000_000, show_default=True)
@click.option("--calls", type=click.IntRange(1), default=CALLS, show_default=True)
@click.option(
    "--keep", is_flag=True, help="Keep the filled database, or use the one that was kept."
)
@click.option(
    "--database", metavar="URL", help="A server on this machine instead of the embedded one."
)
def main(finished: int, waiting: int, calls: int, keep: bool, database: str | None) -> None:
    """Print the median and the 95th percentile of every question and page, in milliseconds.

    Exits with 1 if a median is over 200 ms.
    """
    logging.getLogger("forthwith").setLevel(logging.ERROR)
    with open_server(database) as server, _filled_database(server, finished, waiting, keep) as url:
        measured = asyncio.run(measure(url, finished, finished + waiting // 2, calls))
        version = server.settings()["server_version"]
    console = Console(width=110)
    console.print(
        f"{finished:,} finished and {waiting:,} waiting jobs, {calls} calls each, in ms; {os.cpu_count()} "
        f"cores, load average {os.getloadavg()[0]:.1f}, PostgreSQL {version}, Python {sys.version.split()[0]}"
    )
    console.print(_table(measured))
    slow = [name for name, times in measured.items() if times and times.median > MEDIAN_MAX_MS]
    if slow:
        raise click.ClickException(f"over {MEDIAN_MAX_MS:g} ms at the median: {', '.join(slow)}")


@contextlib.contextmanager
def _filled_database(server: Server, finished: int, waiting: int, keep: bool) -> Iterator[str]:
    kept = server.kept(f"forthwith_pages_{finished}_{waiting}")
    fresh = contextlib.nullcontext((None, True))
    with contextlib.ExitStack() as stack:
        url, is_new = stack.enter_context(kept if keep else fresh)
        url = url or stack.enter_context(server.database())
        if is_new:
            with forthwith.App(url).open() as app:
                app.migrate()
            fill(url, finished, waiting)
        yield url


def fill(url: str, finished: int, waiting: int) -> None:
    """Put jobs into the tables, straight by SQL."""
    with psycopg.connect(url, autocommit=True) as connection:
        for name, text in steps():
            began_s = time.monotonic()
            for first in range(1, finished + 1, PORTION) if "%(first)s" in text else (1,):
                _fill_in(connection, text, finished, waiting, first)
            click.echo(f"{name}: {time.monotonic() - began_s:.1f} s", err=True)
        began_s = time.monotonic()
        connection.execute("vacuum analyze")
        click.echo(f"vacuum analyze: {time.monotonic() - began_s:.1f} s", err=True)


def _fill_in(
    connection: psycopg.Connection, text: str, finished: int, waiting: int, first: int
) -> None:
    values = {
        "finished": finished,
        "waiting": waiting,
        "first": first,
        "last": min(first + PORTION - 1, finished),
    }
    filled = text
    for name, value in values.items():
        filled = filled.replace(f"%({name})s", str(value))
    connection.execute(filled.encode())


def steps() -> Iterator[tuple[str, str]]:
    """Yield the parts of the file with their names."""
    parts = _STEP.split(Path(__file__).with_suffix(".sql").read_text("utf-8"))[1:]
    yield from zip(parts[::2], parts[1::2], strict=True)


class Times(NamedTuple):
    """How long something took, in milliseconds, each time that it was asked."""

    shared: list[float]
    """With what others have asked shortly before."""
    anew: list[float]
    """With everything counted anew."""

    @property
    def median(self) -> float:
        """Of the shared ones."""
        return statistics.median(self.shared)


async def measure(url: str, finished: int, live_id: int, calls: int) -> dict[str, Times | None]:
    """Return how long each question and page took; None for what is not served."""
    app = forthwith.App(url)
    async with app.open_async(), Desk(app) as desk, _client(app) as (client, paths, served):
        calls_by_name = questions(desk, finished, live_id) | pages(client, paths, live_id)
        desks = [desk] if served is None else [desk, served]
        return {name: await _times(ask, calls, desks) for name, ask in calls_by_name.items()}


def questions(desk: Desk, finished: int, live_id: int) -> Calls:
    """Return the questions, by name."""
    filters = {
        "all": JobFilter(),
        "todo": JobFilter(status="todo"),
        "ready": JobFilter(status="ready"),
        "scheduled": JobFilter(status="scheduled"),
        "blocked": JobFilter(status="blocked"),
        "running": JobFilter(status="running"),
        "succeeded": JobFilter(status="succeeded"),
        "failed": JobFilter(status="failed"),
        "cancelled": JobFilter(status="cancelled"),
        "failed of a task": JobFilter(status="failed", task="package.module.task_0"),
        "of a queue": JobFilter(queue="queue-3"),
        "of no queue": JobFilter(queue="none"),
        "of a task": JobFilter(task="package.module.task_3"),
        "of no task": JobFilter(task="none"),
        "of a lock": JobFilter(lock="lock-50"),
        "of no lock": JobFilter(lock="none"),
        "of a worker": JobFilter(worker_id=3),
        "with a text": JobFilter(text="customer77"),
        "without that text": JobFilter(text="nobody has this"),
        "succeeded without that text": JobFilter(status="succeeded", text="nobody has this"),
        "of an error": JobFilter(error="KeyError"),
        "of no error": JobFilter(error="NoSuchError"),
    }
    found: Calls = {
        "overview": desk.overview,
        "queues": desk.queues,
        "workers": desk.workers,
        "tasks": desk.tasks,
        "periodic": desk.periodic,
        "locks": desk.locks,
        "errors": desk.error_groups,
        "errors of a day": lambda: desk.error_groups(86_400),
        "history": desk.history,
        "history of a day, a queue": lambda: desk.history(86_400, queue="queue-1"),
        "findings": desk.findings,
        "job, finished": lambda: desk.job(100),
        "job, waiting": lambda: desk.job(live_id),
        "preview of all": lambda: desk.preview("cancel", JobFilter()),
        "preview of failed": lambda: desk.preview("retry", JobFilter(status="failed")),
    }
    for name, wanted in filters.items():
        found[f"jobs, {name}"] = lambda wanted=wanted: desk.jobs(wanted)
    deep = str(finished // 2)
    found["jobs, all, deep"] = lambda: desk.jobs(after=deep)
    found["jobs, failed, deep"] = lambda: desk.jobs(JobFilter(status="failed"), after=deep)
    return found


def pages(client: httpx.AsyncClient | None, paths: Sequence[str], live_id: int) -> Calls:
    """Return how to get the dashboard's pages and the API's answers, by path."""
    if client is None:
        return {}
    found: Calls = {}
    for path in paths:
        for filled in _filled(path, live_id):
            found[f"GET {filled}"] = partial(_get, client, filled)
    return found


def _filled(path: str, live_id: int) -> Iterator[str]:
    """Yield paths to get for a route's path."""
    if path.endswith("/{job_id}"):
        yield path.replace("{job_id}", "100")
        yield path.replace("{job_id}", str(live_id))
    elif path == "/actions":
        yield f"{path}?action=retry&status=failed"
    elif "{" not in path:
        yield path
        if path.endswith("/jobs"):
            for filters in JOB_FILTERS:
                yield f"{path}?{filters}"


async def _get(client: httpx.AsyncClient, path: str) -> None:
    response = await client.get(path)
    if response.status_code != 200:
        raise NotServed(f"{path} is answered with {response.status_code}")


@contextlib.asynccontextmanager
async def _client(
    app: forthwith.App,
) -> AsyncIterator[tuple[httpx.AsyncClient | None, list[str], Desk | None]]:
    """A client of the dashboard in this process, its paths and its desk; None where it is not installed."""
    try:
        import httpx

        from forthwith.web import dashboard

        served = dashboard(app, open_to_all="operator")
    except ImportError:
        yield None, [], None
        return
    transport = httpx.ASGITransport(served)
    async with (
        served,
        httpx.AsyncClient(transport=transport, base_url="http://localhost") as client,
    ):
        yield client, await _paths(client), served.desk


async def _paths(client: httpx.AsyncClient) -> list[str]:
    """Return what can be got, the API's by its own account."""
    from forthwith.web.page_hooks import pages as web_pages

    document = (await client.get("/api/openapi.json")).json()
    api = [path for path, methods in document["paths"].items() if "get" in methods]
    module = web_pages()
    routes = [] if module is None else module.router.routes
    found = sorted({*api, *_got(routes)})
    if module is not None and "/" not in found:
        raise click.ClickException(
            "the pages' paths were not found: FastAPI keeps them elsewhere now"
        )
    return found


def _got(routes: Iterable[Any]) -> Iterator[str]:
    for route in routes:
        path = getattr(route, "path", "")
        if "GET" in (getattr(route, "methods", None) or ()) and not path.startswith(NOT_PAGES):
            yield path
        if (included := getattr(route, "original_router", None)) is not None:
            yield from _got(included.routes)


async def _times(
    ask: Callable[[], Awaitable[Any]], calls: int, desks: Sequence[Desk]
) -> Times | None:
    try:
        anew = [await _took(ask, desks) for _ in range(calls)]
        return Times([await _took(ask) for _ in range(calls)], anew)
    except NotServed as error:
        click.echo(error, err=True)
        return None


async def _took(ask: Callable[[], Awaitable[Any]], desks: Sequence[Desk] = ()) -> float:
    for desk in desks:
        for shared in (desk._census, desk._locks, desk._errors):  # noqa: SLF001 -- what they save is asked here
            shared.forget()
    began_s = time.perf_counter()
    await ask()
    return 1000 * (time.perf_counter() - began_s)


def _table(measured: dict[str, Times | None]) -> Table:
    table = Table("what", "median", "p95", "counted anew", "the first")
    for column in table.columns[1:]:
        column.justify = "right"
    for name, times in measured.items():
        if times is None:
            table.add_row(name, "not served")
            continue
        p95 = sorted(times.shared)[min(len(times.shared) - 1, round(0.95 * len(times.shared)))]
        figures = (times.median, p95, statistics.median(times.anew), times.anew[0])
        table.add_row(name, *[f"{figure:.1f}" for figure in figures])
    return table


if __name__ == "__main__":
    main()
