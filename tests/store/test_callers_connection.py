"""The caller's connection belongs to him: his event loop, his transaction, his library."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
import sqlalchemy
from psycopg.rows import dict_row
from sqlalchemy import orm
from sqlalchemy.ext import asyncio as async_sqlalchemy

import forthwith
from forthwith.errors import AlreadyEnqueued, ConnectorException, InvalidArgument, SchemaMissing
from forthwith.store.statements import statements
from tests.support import django_site
from tests.support.workers import running_worker

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from forthwith.deferrer import JobDeferrer


async def test_calls_on_the_callers_connection_need_no_opened_app(database_url: str) -> None:
    app = forthwith.App(database_url)
    job_id = await app.configure_task("some.task").defer_async()
    async with await psycopg.AsyncConnection.connect(database_url) as connection:
        manager = app.job_manager
        status = await manager.get_job_status_async(job_id, connection=connection)
        assert status is forthwith.JobStatus.TODO
        assert await manager.cancel_job_by_id_async(job_id, connection=connection)
        await connection.rollback()
    assert await app.job_manager.get_job_status_async(job_id) is forthwith.JobStatus.TODO
    app.close()


async def test_an_open_error_leaves_nothing_running(database_url: str) -> None:
    app = forthwith.App("postgresql://127.0.0.1:1/nowhere")
    with pytest.raises(forthwith.errors.DatabaseUnavailable):
        await app.open_async()


# -- every library, one behaviour -------------------------------------------------------------------


@pytest.fixture
def closed_app(database_url: str) -> Iterator[forthwith.App]:
    """An app that nobody opened: what is tested needs its tables alone."""
    app = forthwith.App(database_url)
    yield app
    app.close()


@pytest.fixture
def look(database_url: str) -> Iterator[psycopg.Connection[Any]]:
    """Another session, which sees what was committed."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("create table effect (name text)")
        yield connection


def jobs(look: psycopg.Connection[Any]) -> list[str]:
    rows = look.execute("select args->>'name' from forthwith.job order by 1").fetchall()
    return [name for (name,) in rows]


def effects(look: psycopg.Connection[Any]) -> list[str]:
    return [name for (name,) in look.execute("select name from effect order by 1").fetchall()]


def engine_url(url: str) -> sqlalchemy.URL:
    return sqlalchemy.make_url(url).set(drivername="postgresql+psycopg")


INSERT = "insert into effect values ('{}')"


@contextmanager
def psycopg_plain(url: str) -> Iterator[tuple[Any, Callable[[str], Any]]]:
    with psycopg.connect(url) as connection:
        yield connection, connection.execute


@contextmanager
def psycopg_peculiar(url: str) -> Iterator[tuple[Any, Callable[[str], Any]]]:
    """Its rows are dicts and its cursors take other placeholders."""
    with psycopg.connect(url, row_factory=dict_row, prepare_threshold=None) as connection:
        connection.cursor_factory = psycopg.RawCursor
        yield connection, connection.execute


@contextmanager
def sqlalchemy_connection(url: str) -> Iterator[tuple[Any, Callable[[str], Any]]]:
    engine = sqlalchemy.create_engine(engine_url(url))
    with engine.connect() as connection:
        yield connection, lambda text: connection.execute(sqlalchemy.text(text))
    engine.dispose()


@contextmanager
def sqlalchemy_session(url: str) -> Iterator[tuple[Any, Callable[[str], Any]]]:
    engine = sqlalchemy.create_engine(engine_url(url))
    with orm.Session(engine) as session:
        yield session, lambda text: session.execute(sqlalchemy.text(text))
    engine.dispose()


@contextmanager
def sqlalchemy_scoped_session(url: str) -> Iterator[tuple[Any, Callable[[str], Any]]]:
    engine = sqlalchemy.create_engine(engine_url(url))
    session = orm.scoped_session(orm.sessionmaker(engine))
    yield session, lambda text: session.execute(sqlalchemy.text(text))
    session.remove()
    engine.dispose()


@contextmanager
def django_connection(url: str) -> Iterator[tuple[Any, Callable[[str], Any]]]:
    from django.db import connection

    with django_site.on_database(url):
        connection.set_autocommit(False)  # as inside `atomic`, where only Django commits
        yield connection, lambda text: connection.cursor().execute(text)


BLOCKING = [
    psycopg_plain,
    psycopg_peculiar,
    sqlalchemy_connection,
    sqlalchemy_session,
    sqlalchemy_scoped_session,
    django_connection,
]


def deferrer(app: forthwith.App, connection: Any, **options: Any) -> JobDeferrer:
    return app.configure_task("some.task", connection=connection, **options)


@pytest.mark.parametrize("library", BLOCKING)
@pytest.mark.parametrize("is_fresh", [True, False])
def test_a_job_rides_in_the_transaction_of_any_library(
    closed_app: forthwith.App,
    look: psycopg.Connection[Any],
    database_url: str,
    library: Any,
    is_fresh: bool,
) -> None:
    with library(database_url) as (connection, execute):
        if not is_fresh:
            execute(INSERT.format("dropped"))
        deferrer(closed_app, connection).defer(name="dropped")
        assert (jobs(look), effects(look)) == ([], [])
        connection.rollback()
        if not is_fresh:
            execute(INSERT.format("kept"))
        deferrer(closed_app, connection).batch_defer({"name": "a"}, {"name": "b"})
        assert (jobs(look), effects(look)) == ([], [])
        connection.commit()
    assert jobs(look) == ["a", "b"]
    assert effects(look) == ([] if is_fresh else ["kept"])


@pytest.mark.parametrize("library", BLOCKING)
def test_a_taken_queueing_lock_leaves_the_transaction_of_any_library_usable(
    closed_app: forthwith.App, look: psycopg.Connection[Any], database_url: str, library: Any
) -> None:
    with library(database_url) as (connection, execute):
        execute(INSERT.format("before"))
        single = deferrer(closed_app, connection, queueing_lock="single")
        single.defer(name="first")
        with pytest.raises(AlreadyEnqueued):
            single.defer(name="second")
        with pytest.raises(AlreadyEnqueued):
            deferrer(closed_app, connection, queueing_lock="pair").batch_defer(
                {"name": "half of a batch"}, {"name": "the other half"}
            )
        execute(INSERT.format("after"))
        connection.commit()
    assert (jobs(look), effects(look)) == (["first"], ["after", "before"])


@pytest.mark.parametrize("library", BLOCKING)
def test_cancelling_and_looking_ride_in_the_transaction_of_any_library(
    closed_app: forthwith.App, look: psycopg.Connection[Any], database_url: str, library: Any
) -> None:
    job_id = closed_app.configure_task("some.task").defer(name="waiting")
    manager = closed_app.job_manager
    with library(database_url) as (connection, _):
        assert manager.cancel_job_by_id(job_id, connection=connection)
        status = manager.get_job_status(job_id, connection=connection)
        assert status is forthwith.JobStatus.CANCELLED
        assert jobs(look) == ["waiting"]
        connection.rollback()
        assert manager.get_job_status(job_id) is forthwith.JobStatus.TODO
        assert manager.cancel_job_by_id(job_id, connection=connection, delete_job=True)
        connection.commit()
    assert jobs(look) == []


@asynccontextmanager
async def async_psycopg(url: str) -> AsyncIterator[tuple[Any, Callable[[str], Any]]]:
    async with await psycopg.AsyncConnection.connect(url, row_factory=dict_row) as connection:
        connection.cursor_factory = psycopg.AsyncRawCursor
        yield connection, connection.execute


@asynccontextmanager
async def async_connection(url: str) -> AsyncIterator[tuple[Any, Callable[[str], Any]]]:
    engine = async_sqlalchemy.create_async_engine(engine_url(url))
    async with engine.connect() as connection:
        yield connection, lambda text: connection.execute(sqlalchemy.text(text))
    await engine.dispose()


@asynccontextmanager
async def async_session(url: str) -> AsyncIterator[tuple[Any, Callable[[str], Any]]]:
    engine = async_sqlalchemy.create_async_engine(engine_url(url))
    async with async_sqlalchemy.AsyncSession(engine) as session:
        yield session, lambda text: session.execute(sqlalchemy.text(text))
    await engine.dispose()


@asynccontextmanager
async def async_scoped_session(url: str) -> AsyncIterator[tuple[Any, Callable[[str], Any]]]:
    engine = async_sqlalchemy.create_async_engine(engine_url(url))
    session = async_sqlalchemy.async_scoped_session(
        async_sqlalchemy.async_sessionmaker(engine), scopefunc=asyncio.current_task
    )
    yield session, lambda text: session.execute(sqlalchemy.text(text))
    await session.remove()
    await engine.dispose()


ASYNC = [async_psycopg, async_connection, async_session, async_scoped_session]


@pytest.mark.parametrize("library", ASYNC)
@pytest.mark.parametrize("is_fresh", [True, False])
async def test_a_job_rides_in_the_transaction_of_any_asynchronous_library(
    closed_app: forthwith.App,
    look: psycopg.Connection[Any],
    database_url: str,
    library: Any,
    is_fresh: bool,
) -> None:
    async with library(database_url) as (connection, execute):
        if not is_fresh:
            await execute(INSERT.format("dropped"))
        await deferrer(closed_app, connection).defer_async(name="dropped")
        await connection.rollback()
        if not is_fresh:
            await execute(INSERT.format("kept"))
        kept = deferrer(closed_app, connection, queueing_lock="single")
        job_id = await kept.defer_async(name="a")
        with pytest.raises(AlreadyEnqueued):
            await kept.batch_defer_async({"name": "b"})
        manager = closed_app.job_manager
        status = await manager.get_job_status_async(job_id, connection=connection)
        assert status is forthwith.JobStatus.TODO
        assert (jobs(look), effects(look)) == ([], [])
        await connection.commit()
        assert jobs(look) == ["a"]
        assert await manager.cancel_job_by_id_async(job_id, connection=connection)
        assert jobs(look) == ["a"]
        await connection.commit()
    assert (jobs(look), effects(look)) == ([], [] if is_fresh else ["kept"])


@pytest.mark.parametrize("library", ASYNC)
async def test_the_commit_wakes_a_worker_that_sleeps(
    app: forthwith.App,
    connection: psycopg.AsyncConnection[Any],
    database_url: str,
    wait_until: Any,
    library: Any,
) -> None:
    @app.task(name="some.task")
    async def work(name: str) -> None:
        ran.set()

    async def is_asleep() -> bool:
        cursor = await connection.execute("select bool_or(sleeping) from forthwith.worker")
        row = await cursor.fetchone()
        return row is not None and row[0] is True

    ran = asyncio.Event()
    async with (
        running_worker(app, fetch_job_polling_interval=600.0),
        library(database_url) as (own, execute),
    ):
        await execute("select 1")
        await wait_until(is_asleep)
        await deferrer(app, own).defer_async(name="a")
        assert not ran.is_set()
        await own.commit()
        async with asyncio.timeout(30):  # by polling it would take ten minutes
            await ran.wait()


# -- what is peculiar to one library ----------------------------------------------------------------


def test_a_savepoint_of_sqlalchemys_takes_the_job_with_it(
    closed_app: forthwith.App, look: psycopg.Connection[Any], database_url: str
) -> None:
    with sqlalchemy_session(database_url) as (session, execute):
        execute(INSERT.format("kept"))
        with suppress(ZeroDivisionError), session.begin_nested():
            deferrer(closed_app, session).defer(name="dropped")
            raise ZeroDivisionError
        with session.begin_nested():
            deferrer(closed_app, session).defer(name="kept")
        session.commit()
    assert (jobs(look), effects(look)) == (["kept"], ["kept"])


def test_a_session_whose_flush_has_failed_says_so_itself(
    closed_app: forthwith.App, look: psycopg.Connection[Any], database_url: str
) -> None:
    class Base(orm.DeclarativeBase):
        pass

    class Thing(Base):
        __tablename__ = "thing"
        id: orm.Mapped[int] = orm.mapped_column(primary_key=True)

    look.execute("create table thing (id int primary key check (id > 0))")
    with sqlalchemy_session(database_url) as (session, _):
        session.add(Thing(id=0))
        with pytest.raises(sqlalchemy.exc.IntegrityError):
            session.flush()
        with pytest.raises(sqlalchemy.exc.PendingRollbackError):
            deferrer(closed_app, session).defer(name="dropped")
        session.rollback()
        deferrer(closed_app, session).defer(name="kept")
        session.commit()
    assert jobs(look) == ["kept"]


def test_sqlalchemy_in_autocommit_mode_defers_at_once(
    closed_app: forthwith.App, look: psycopg.Connection[Any], database_url: str
) -> None:
    engine = sqlalchemy.create_engine(engine_url(database_url), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        deferrer(closed_app, connection).defer(name="at once")
        assert jobs(look) == ["at once"]
    engine.dispose()


def test_psycopg_in_autocommit_mode_defers_at_once_or_with_its_block(
    closed_app: forthwith.App, look: psycopg.Connection[Any], database_url: str
) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        deferrer(closed_app, connection).defer(name="at once")
        assert jobs(look) == ["at once"]
        with suppress(ZeroDivisionError), connection.transaction():
            deferrer(closed_app, connection).defer(name="dropped")
            raise ZeroDivisionError
    assert jobs(look) == ["at once"]


def test_two_phase_transactions_are_refused(
    closed_app: forthwith.App, look: psycopg.Connection[Any], database_url: str
) -> None:
    engine = sqlalchemy.create_engine(engine_url(database_url))
    with (
        engine.connect() as connection,
        connection.begin_twophase(),
        pytest.raises(InvalidArgument, match="two-phase"),
    ):
        deferrer(closed_app, connection).defer(name="a")
    engine.dispose()
    assert jobs(look) == []


@pytest.mark.parametrize("is_broken", [False, True])
def test_a_job_rides_in_djangos_atomic_block(
    closed_app: forthwith.App, look: psycopg.Connection[Any], database_url: str, is_broken: bool
) -> None:
    from django.db import connection, connections, transaction

    with django_site.on_database(database_url):
        with suppress(ZeroDivisionError), transaction.atomic():
            deferrer(closed_app, connection).defer(name="kept")
            with suppress(ZeroDivisionError), transaction.atomic():
                deferrer(closed_app, connections["default"]).defer(name="dropped by its savepoint")
                raise ZeroDivisionError
            connection.cursor().execute(INSERT.format("kept"))
            assert (jobs(look), effects(look)) == ([], [])
            if is_broken:
                raise ZeroDivisionError
        expected = [] if is_broken else ["kept"]
        assert (jobs(look), effects(look)) == (expected, expected)
        deferrer(closed_app, connection).defer(name="outside: at once")
        assert jobs(look) == [*expected, "outside: at once"]


def test_a_broken_atomic_block_says_so_as_django_does(
    closed_app: forthwith.App, look: psycopg.Connection[Any], database_url: str
) -> None:
    from django.db import connection, transaction

    with django_site.on_database(database_url), transaction.atomic():
        with suppress(ZeroDivisionError), transaction.atomic(savepoint=False):
            raise ZeroDivisionError
        with pytest.raises(transaction.TransactionManagementError):
            deferrer(closed_app, connection).defer(name="dropped")
    assert jobs(look) == []


@pytest.mark.parametrize("fails", [False, True])
def test_a_job_rides_in_an_atomic_request(
    closed_app: forthwith.App,
    look: psycopg.Connection[Any],
    database_url: str,
    fails: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with django_site.on_database(database_url):
        from django.db import connection, connections
        from django.http import HttpResponse
        from django.test import Client

        def place(_request: Any) -> Any:
            connection.cursor().execute(INSERT.format("order"))
            deferrer(closed_app, connection).defer(name="letter")
            assert jobs(look) == []
            if fails:
                raise ZeroDivisionError
            return HttpResponse("placed")

        monkeypatch.setattr(django_site, "view", place)
        connections.settings["default"]["ATOMIC_REQUESTS"] = True
        # A request ends by closing what is too old to be kept; the test's end closes the rest.
        status = Client(raise_request_exception=False).get("/").status_code
    assert status == (500 if fails else 200)
    assert (jobs(look), effects(look)) == (([], []) if fails else (["letter"], ["order"]))


@pytest.mark.parametrize("is_blocking", [True, False])
async def test_an_old_snapshot_does_not_cancel_the_head_of_a_line(
    closed_app: forthwith.App,
    look: psycopg.Connection[Any],
    database_url: str,
    is_blocking: bool,
) -> None:
    line = closed_app.configure_task("some.task", lock="line")
    head = await line.defer_async(name="head")
    look.execute(statements()["sort_lines"], {"batch_size": 10})
    manager = closed_app.job_manager
    async with await psycopg.AsyncConnection.connect(database_url) as connection:
        with psycopg.connect(database_url) as blocking:
            blocking.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            await connection.set_isolation_level(psycopg.IsolationLevel.REPEATABLE_READ)
            blocking.execute("select 1")
            await connection.execute("select 1")
            await line.defer_async(name="next")  # which neither snapshot shows
            look.execute(statements()["sort_lines"], {"batch_size": 10})
            if is_blocking:
                with pytest.raises(InvalidArgument, match="read committed"):
                    manager.cancel_job_by_id(head, connection=blocking)
            else:
                with pytest.raises(InvalidArgument, match="read committed"):
                    await manager.cancel_job_by_id_async(head, connection=connection)
            blocking.commit()
        await connection.commit()
    states = look.execute("select state::text from forthwith.job order by id").fetchall()
    assert states == [("ready",), ("blocked",)]


# -- what is none of these --------------------------------------------------------------------------


def test_drivers_that_cannot_be_used_are_named_with_what_to_do(
    closed_app: forthwith.App, look: psycopg.Connection[Any]
) -> None:
    engine = sqlalchemy.create_engine("sqlite://")
    with engine.connect() as connection, orm.Session(engine) as session:
        for wrong in (connection, session):
            with pytest.raises(InvalidArgument, match=r"sqlite\+pysqlite.*postgresql\+psycopg"):
                deferrer(closed_app, wrong).defer(name="a")
    engine.dispose()


@pytest.mark.parametrize("library", [psycopg_plain, sqlalchemy_session, django_connection])
async def test_a_synchronous_connection_is_refused_by_asynchronous_calls(
    closed_app: forthwith.App, database_url: str, library: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "1")  # for the test itself
    with library(database_url) as (connection, _):
        manager = closed_app.job_manager
        for call in (
            lambda: deferrer(closed_app, connection).defer_async(name="a"),
            lambda: deferrer(closed_app, connection).batch_defer_async({"name": "a"}),
            lambda: manager.cancel_job_by_id_async(1, connection=connection),
            lambda: manager.get_job_status_async(1, connection=connection),
        ):
            with pytest.raises(InvalidArgument, match=r"psycopg\.AsyncConnection") as caught:
                await call()
            assert caught.value.argument == "connection"


@pytest.mark.parametrize("library", ASYNC)
async def test_an_asynchronous_connection_is_refused_by_synchronous_calls(
    closed_app: forthwith.App, database_url: str, library: Any
) -> None:
    async with library(database_url) as (connection, _):
        for call in (
            lambda: deferrer(closed_app, connection).defer(name="a"),
            lambda: closed_app.job_manager.cancel_job_by_id(1, connection=connection),
        ):
            with pytest.raises(InvalidArgument, match="ends in _async"):
                call()


async def test_a_session_inside_run_sync_is_refused(
    closed_app: forthwith.App, database_url: str
) -> None:
    async with async_session(database_url) as (session, _):
        with pytest.raises(InvalidArgument, match="synchronous driver"):
            await session.run_sync(lambda inner: deferrer(closed_app, inner).defer(name="a"))


@pytest.mark.parametrize("kind", [object, str, sqlalchemy.MetaData])
def test_anything_else_is_refused(closed_app: forthwith.App, kind: Any) -> None:
    with pytest.raises(InvalidArgument, match=kind.__name__):
        deferrer(closed_app, kind()).defer(name="a")


def test_an_engine_is_no_connection(closed_app: forthwith.App, database_url: str) -> None:
    engine = sqlalchemy.create_engine(engine_url(database_url))
    with pytest.raises(InvalidArgument, match="Engine"):
        deferrer(closed_app, engine).defer(name="a")
    engine.dispose()


def test_a_database_without_the_schema_is_named_as_such(
    database_url: str, empty_database_url: str
) -> None:
    app = forthwith.App(database_url)
    with psycopg.connect(empty_database_url) as connection:
        with pytest.raises(SchemaMissing, match="connection's database"):
            deferrer(app, connection).defer(name="a")
        assert connection.execute("select 1").fetchone() == (1,)
    app.close()


def test_in_an_aborted_transaction_the_database_refuses(
    closed_app: forthwith.App, look: psycopg.Connection[Any], database_url: str
) -> None:
    with psycopg.connect(database_url) as connection:
        with pytest.raises(psycopg.errors.UndefinedTable):
            connection.execute("select from nothing")
        with pytest.raises(ConnectorException, match="aborted"):
            deferrer(closed_app, connection).defer(name="a")
    assert jobs(look) == []
