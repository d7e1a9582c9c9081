"""What all tests share: one PostgreSQL, a database for each test, worker processes.

All processes of a test run (pytest-xdist's workers too) use one embedded server, whose home is
`.forthwith/test`, or the server that `--database-url` names. Each test gets a database of its own,
a clone of a template that has the schema. tests/TEST_GUIDE.md shows how the fixtures are used.
"""

from __future__ import annotations

import json
import signal
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

import forthwith
from forthwith.database.embedded import open_embedded
from tests.support.databases import Databases, replace_database
from tests.support.spreading import spread_directories
from tests.support.waiting import wait_until as wait_until_fact
from tests.support.worker_process import WorkerProcess

HOME = Path(__file__).parents[1] / ".forthwith" / "test"

SPREAD = 8
"""More than the test processes that a machine usually has."""
HAS_FAILED = pytest.StashKey[bool]()

RecordFigure = Callable[[str, float, str], None]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add our options to `pytest --help`."""
    parser.getgroup("forthwith").addoption(
        "--database-url",
        help="Test on this PostgreSQL server instead of the embedded one: the URL of a database "
        "whose user may create databases.",
    )


def pytest_configure() -> None:
    """Hear SIGINT, and let child processes hear it: a run that a shell put in the background does not."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Spread what takes long among the others, neighbours far apart: then no process gets it all."""
    soak = [item for item in items if item.get_closest_marker("soak")]
    others = [item for item in items if item not in soak]
    apart = [item for start in range(SPREAD) for item in soak[start::SPREAD]]
    for number, item in enumerate(apart):
        others.insert(number + (number * len(others)) // len(apart), item)
    items[:] = others


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Let fixtures know, when they clean up, whether the test has failed."""
    report = yield
    if report.failed:
        item.stash[HAS_FAILED] = True
    return report


@pytest.fixture(scope="session")
def databases(pytestconfig: pytest.Config) -> Iterator[Databases]:
    """The server's databases; tests rather use `database_url` or `empty_database_url`."""
    given = pytestconfig.getoption("--database-url")
    if given:
        databases = Databases(given, lambda name: replace_database(given, name))
        yield databases
        databases.close()
        return
    server = open_embedded(HOME)
    spread_directories(server.data / "base")
    databases = Databases(server.database_url("postgres"), server.database_url)
    databases.drop_leftovers()
    yield databases
    databases.close()
    server.close()


@pytest.fixture
def clear_of_midnight(databases: Databases) -> None:
    """Let the test begin with a minute of the database's day left: its partitions are by the day.

    Name it before `database_url`.
    """
    databases.wait_out_midnight()


@pytest.fixture
def database_url(databases: Databases) -> Iterator[str]:
    """The URL of a database of the test's own, with the schema; it is dropped afterwards."""
    name, url = databases.create_clone()
    yield url
    databases.drop(name)


@pytest.fixture(scope="module")
def module_database_url(databases: Databases) -> Iterator[str]:
    """The URL of a database for a module's tests, with the schema.

    For tests that change nothing in it, or each something of its own. A module whose tests all use it
    returns it from a `database_url` of its own.
    """
    name, url = databases.create_clone()
    yield url
    databases.drop(name)


@pytest.fixture
def empty_database_url(databases: Databases) -> Iterator[str]:
    """The URL of a database of the test's own, without the schema; it is dropped afterwards."""
    name, url = databases.create_empty()
    yield url
    databases.drop(name)


@pytest.fixture
async def app(database_url: str) -> AsyncIterator[forthwith.App]:
    """An open app on the test's database, without tasks."""
    app = forthwith.App(database_url)
    async with app.open_async():
        yield app


@pytest.fixture
async def connection(database_url: str) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
    """A connection (autocommit) to the test's database, independent of the app's."""
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as connection:
        yield connection


@pytest.fixture
def make_worker_process(
    database_url: str, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[Callable[..., WorkerProcess]]:
    """Start worker processes: `make_worker_process("tests.support.worker_app", concurrency=5)`.

    The first argument is an importable module, or the path of one in the repository, that has a
    forthwith app called `app` which takes its database from FORTHWITH_DATABASE_URL. The rest are
    run_worker's options; `environment=` adds environment variables. Returns a WorkerProcess. What
    still runs at the end of the test is killed, and nothing may stay.
    """
    processes: list[WorkerProcess] = []

    def make(module: str | Path, **options: Any) -> WorkerProcess:
        log = tmp_path / f"worker-{len(processes)}.log"
        process = WorkerProcess(module, database_url, log, **options)
        processes.append(process)
        return process

    yield make
    for process in processes:
        process.clean_up()
        if request.node.stash.get(HAS_FAILED, False):
            print(process.describe())


@pytest.fixture
def wait_until() -> Callable[..., Any]:
    """Poll a fact: `await wait_until(lambda: len(done) == 3, deadline_s=10)`."""
    return wait_until_fact


@pytest.fixture
def record_figure(request: pytest.FixtureRequest) -> RecordFigure:
    """Report what a test measured: `record_figure("jobs per second", 1234.5, "jobs/s")`.

    It is printed (see it with -s) and travels with the test's report, in the JUnit XML too, where
    `make results` finds it.
    """

    def record(name: str, value: float, unit: str) -> None:
        print(f"\n    {name}: {value:,.4g} {unit}", end=" ")
        figure = json.dumps({"value": value, "unit": unit})
        request.node.user_properties.append((f"figure:{name}", figure))

    return record
