"""Connections whose packets vanish, and which nobody says to be broken."""

from __future__ import annotations

import asyncio
import select
import time
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from forthwith.database import inquiry
from forthwith.database import pool as pools
from forthwith.database.database import Database
from forthwith.database.line import Line
from forthwith.database.pool import Pool
from forthwith.database.watched import PooledConnection
from forthwith.errors import DatabaseUnavailable
from forthwith.verify.proxy import Proxy

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

    WaitUntil = Callable[..., Awaitable[Any]]

AT_ONCE_S = 5.0
"""Less than psycopg takes, which waits ten seconds for what the server says of cancelling."""
LIMIT_S = 30.0
SOON_S = 30.0
"""Without what is tested here, it would never come, or take a minute."""


@pytest.fixture
def proxy(database_url: str) -> Iterator[Proxy]:
    """A proxy before the test's database."""
    with Proxy(database_url) as proxy:
        yield proxy


@pytest.fixture
def database(proxy: Proxy) -> Database:
    """The test's database, through the proxy."""
    return Database(make_conninfo(proxy.conninfo, connect_timeout=2))


@pytest.fixture
async def pool(database: Database, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Pool]:
    """A pool whose connections ask after a fifth of a second of silence."""
    monkeypatch.setattr(PooledConnection, "silence_s", 0.2)
    monkeypatch.setattr(inquiry, "IDLE_S", 0.4)
    pool = Pool(database)
    await pool.open()
    yield pool
    pool.hang_up()
    await pool.close()


class TestLine:
    async def test_statement_without_an_answer_ends_as_a_lost_connection(
        self, database: Database, proxy: Proxy
    ) -> None:
        line = Line(database, answer_limit_s=LIMIT_S)
        async with line.use() as connection:
            await connection.execute("select 1")
            assert connection.silence_s == LIMIT_S
            connection.silence_s = 0.3  # from now on: what shall be answered may take its time
        proxy.vanish()
        with pytest.raises(DatabaseUnavailable):
            async with line.use() as connection:
                await connection.execute("select 1")
        proxy.restore()
        async with line.use() as connection:
            await connection.execute("select 1")
        assert proxy.counters.connections == 2
        await line.close()

    async def test_answer_that_came_while_the_loop_was_blocked_counts(
        self, database: Database, wait_until: WaitUntil
    ) -> None:
        line = Line(database, answer_limit_s=LIMIT_S)
        async with line.use() as connection:
            connection.silence_s = 1.0
            answer = asyncio.create_task(connection.execute("select pg_sleep(0.1)"))
            await wait_until(lambda: connection.awaits_answer)
            select.select([connection.fileno()], [], [])  # a task that blocks the loop
            time.sleep(1.1)  # noqa: ASYNC251 -- beyond the limit
            await answer
            connection.silence_s = LIMIT_S
            await connection.execute("select 1")
        await line.close()

    async def test_waiting_for_an_answer_takes_no_processor_time(self, database: Database) -> None:
        line = Line(database)
        async with line.use() as connection:
            started_s = time.process_time()
            await connection.execute("select pg_sleep(1)")
            assert time.process_time() - started_s < 0.5
        await line.close()

    async def test_waiting_for_notifications_has_no_limit(self, database: Database) -> None:
        line = Line(database)
        async with line.use() as connection:
            await connection.execute("listen nothing")
            connection.silence_s = 0.1
            assert [_ async for _ in connection.notifies(timeout=0.5)] == []
            connection.silence_s = LIMIT_S
            await connection.execute("select 1")
        await line.close()

    async def test_cancelled_user_leaves_at_once(
        self, database: Database, proxy: Proxy, wait_until: WaitUntil
    ) -> None:
        line = Line(database)

        async def use() -> None:
            async with line.use() as connection, connection.transaction():
                await connection.execute("select pg_sleep(60)")

        async with line.use():
            proxy.vanish()
        user = asyncio.create_task(use())
        await wait_until(lambda: proxy.counters.bytes_swallowed)
        assert not user.done()
        user.cancel()
        started_s = time.monotonic()
        with pytest.raises(asyncio.CancelledError):
            await user
        assert time.monotonic() - started_s < AT_ONCE_S

    async def test_close_ends_a_statement_under_way(
        self, database: Database, proxy: Proxy, wait_until: WaitUntil
    ) -> None:
        line = Line(database)

        async def use() -> None:
            async with line.use() as connection:
                await connection.execute("select pg_sleep(60)")

        async with line.use():
            proxy.vanish()
        user = asyncio.create_task(use())
        await wait_until(lambda: proxy.counters.bytes_swallowed)
        await line.close()
        with pytest.raises(DatabaseUnavailable):
            await asyncio.wait_for(user, SOON_S)

    async def test_disturbed_tells_of_the_loss_of_the_connection(
        self, database: Database, proxy: Proxy
    ) -> None:
        line = Line(database)
        async with line.use():
            pass
        disturbed = asyncio.create_task(line.disturbed())
        await asyncio.wait({disturbed}, timeout=0.2)
        assert not disturbed.done()
        assert proxy.cut() == 1
        await asyncio.wait_for(disturbed, SOON_S)
        await line.close()

    async def test_server_is_told_to_look_after_the_connection(self, database: Database) -> None:
        line = Line(database)
        async with line.use() as connection:
            cursor = await connection.execute("show client_connection_check_interval")
            assert await cursor.fetchone() == ("5s",)
        await line.close()


async def _statement_after(pool: Pool, fault: Callable[[], None]) -> None:
    async with pool.connection() as connection:
        fault()
        await connection.execute("select 1")


async def is_asleep(database: Database, connection: psycopg.AsyncConnection[Any]) -> bool:
    """Whether the server is at this connection's `pg_sleep`."""
    async with await database.connect() as other:
        query = "select from pg_stat_activity where pid = %s and wait_event = 'PgSleep'"
        return (await other.execute(query, [connection.info.backend_pid])).rowcount == 1


class TestPool:
    async def test_long_statement_goes_on(self, pool: Pool) -> None:
        async with pool.connection() as connection:
            cursor = await connection.execute("select pg_sleep(1.5), 42")
            [(_, answer)] = await cursor.fetchall()
            assert answer == 42

    async def test_statement_ends_when_nobody_can_be_asked_about_it(
        self, pool: Pool, proxy: Proxy
    ) -> None:
        use = _statement_after(pool, proxy.vanish)
        with pytest.raises(DatabaseUnavailable):
            await asyncio.wait_for(use, SOON_S)

    async def test_statement_ends_that_the_server_never_got(
        self, pool: Pool, proxy: Proxy, wait_until: WaitUntil
    ) -> None:
        use = asyncio.create_task(_statement_after(pool, proxy.vanish))
        await wait_until(lambda: proxy.counters.bytes_swallowed)
        proxy.restore()  # for others: this connection has lost bytes
        with pytest.raises(DatabaseUnavailable):
            await asyncio.wait_for(use, SOON_S)

    async def test_server_without_room_for_the_question_costs_no_statement(
        self, pool: Pool, database: Database, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def full(**_: Any) -> None:
            asked.append(1)
            raise DatabaseUnavailable("FATAL: sorry, too many clients already")

        asked: list[int] = []
        monkeypatch.setattr(database, "connect", full)
        async with pool.connection() as connection:
            await connection.execute("select pg_sleep(0.7)")
        assert len(asked) > 1

    async def test_cancelled_user_leaves_soon(
        self, pool: Pool, proxy: Proxy, wait_until: WaitUntil
    ) -> None:
        async def use() -> None:
            async with pool.connection() as connection, connection.transaction():
                proxy.vanish()
                await connection.execute("select pg_sleep(60)")

        user = asyncio.create_task(use())
        await wait_until(lambda: proxy.counters.bytes_swallowed)
        user.cancel()
        started_s = time.monotonic()
        with pytest.raises(asyncio.CancelledError):
            await user
        assert time.monotonic() - started_s < AT_ONCE_S

    async def test_cancelled_statement_ends_on_the_server_and_keeps_its_connection(
        self, pool: Pool, database: Database, wait_until: WaitUntil
    ) -> None:
        async with pool.connection() as connection:
            user = asyncio.create_task(connection.execute("select pg_sleep(60)"))
            await wait_until(lambda: is_asleep(database, connection))
            user.cancel()
            with pytest.raises(asyncio.CancelledError):
                await user
            await connection.execute("select 1")

    async def test_resting_connection_that_died_silently_is_replaced(
        self, pool: Pool, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(pools, "FRESH_S", 0.0)
        proxy.vanish()
        with monkeypatch.context() as hasty:
            hasty.setattr(pools, "CHECK_LIMIT_S", 0.3)
            hasty.setattr(pools, "TIMEOUT_S", 2.0)
            with pytest.raises(DatabaseUnavailable):
                async with pool.connection():
                    pass
        proxy.restore()
        async with pool.connection() as connection:
            await connection.execute("select 1")

    async def test_server_is_told_to_look_after_the_connections(self, pool: Pool) -> None:
        async with pool.connection() as connection:
            cursor = await connection.execute("show client_connection_check_interval")
            assert await cursor.fetchone() == ("5s",)


async def test_backend_is_known_by_its_server(database_url: str, database: Database) -> None:
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as connection:
        backend = await inquiry.backend_of(connection)
        assert backend.pid == connection.info.backend_pid
        assert not backend.is_behind_pooler
        assert await backend.is_at_work(database)  # it has just been at it
    elsewhere = inquiry.Backend(backend.pid, backend.server_started_at.replace(year=1999), False)
    assert await elsewhere.is_at_work(database)  # nobody there can know
    pooled = inquiry.Backend(backend.pid, backend.server_started_at, True)
    assert await pooled.is_at_work(database)
