"""The proxy that does to connections what networks do."""

from __future__ import annotations

import asyncio
import shutil
import ssl
import subprocess
import threading
import time
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from forthwith.errors import InvalidArgument
from forthwith.verify.proxy import Proxy

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

SILENCE_S = 0.3


@pytest.fixture
def proxy(database_url: str) -> Iterator[Proxy]:
    """A proxy before the test's database."""
    with Proxy(database_url) as proxy:
        yield proxy


async def connected(proxy: Proxy, name: str = "somebody") -> psycopg.AsyncConnection[Any]:
    """Connect through the proxy, under that application_name."""
    return await psycopg.AsyncConnection.connect(
        proxy.conninfo, application_name=name, autocommit=True
    )


async def is_answered(connection: psycopg.AsyncConnection[Any]) -> bool:
    """Whether a statement is answered within a while. What was not makes the connection useless."""
    answer = asyncio.ensure_future(connection.execute("select 1"))
    await asyncio.wait({answer}, timeout=SILENCE_S)
    if answer.done():
        await answer
        return True
    answer.add_done_callback(_forget)
    return False


def _forget(answer: asyncio.Future[Any]) -> None:
    with suppress(asyncio.CancelledError, psycopg.Error):
        answer.result()


@asynccontextmanager
async def two(proxy: Proxy) -> AsyncIterator[list[psycopg.AsyncConnection[Any]]]:
    """Two connections through the proxy, named one and two."""
    connections = [await connected(proxy, name) for name in ("one", "two")]
    try:
        yield connections
    finally:
        proxy.cut()
        for connection in connections:
            await connection.close()


async def test_it_carries_statements_of_all_kinds(proxy: Proxy) -> None:
    async with await connected(proxy) as connection:
        await connection.execute("create table t (n integer)")
        async with connection.cursor().copy("copy t from stdin") as copy:
            for number in range(20_000):
                await copy.write_row([number])
        cursor = await connection.execute("select n from t where n >= %s", [0], prepare=True)
        assert len(await cursor.fetchall()) == 20_000
        async with connection.pipeline():
            cursors = [await connection.execute("select %s::int", [n]) for n in range(50)]
        assert [(await cursor.fetchone()) for cursor in cursors] == [(n,) for n in range(50)]
        with pytest.raises(psycopg.errors.UndefinedTable):
            await connection.execute("select from nothing")
    assert proxy.counters.connections == 1
    assert proxy.counters.bytes_swallowed == 0


async def test_delay_counts_for_each_way(proxy: Proxy) -> None:
    async with await connected(proxy) as connection:
        proxy.delay_s = 0.1
        started_s = time.monotonic()
        await connection.execute("select 1")
        assert time.monotonic() - started_s >= 0.2
        proxy.delay_s = 0.0


async def test_packets_of_one_client_vanish_and_the_other_goes_on(proxy: Proxy) -> None:
    async with two(proxy) as (one, other):
        proxy.vanish(only="one")
        assert not await is_answered(one)
        assert await is_answered(other)
        assert proxy.counters.bytes_swallowed > 0
        assert not one.closed


async def test_connection_that_lost_bytes_stays_dead_and_another_lives_again(proxy: Proxy) -> None:
    async with two(proxy) as (one, other):
        proxy.vanish()
        assert not await is_answered(one)
        proxy.restore()
        assert await is_answered(other)
        proxy.restore()
        async with await connected(proxy) as late:
            assert await is_answered(late)
        assert not one.closed


async def test_new_connections_are_accepted_and_never_answered(proxy: Proxy) -> None:
    proxy.vanish()
    with pytest.raises(psycopg.errors.ConnectionTimeout):
        await psycopg.AsyncConnection.connect(proxy.conninfo, connect_timeout=2)
    assert proxy.counters.connections == 1


async def test_server_does_not_learn_of_a_client_that_leaves_unheard(
    proxy: Proxy, database_url: str, wait_until: Any
) -> None:
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as direct:

        async def sessions() -> int:
            cursor = await direct.execute(
                "select from pg_stat_activity where application_name = 'leaver'"
            )
            return cursor.rowcount

        leaver = await connected(proxy, "leaver")
        proxy.vanish()
        await leaver.close()
        await asyncio.sleep(SILENCE_S)  # time itself: nothing happens
        assert await sessions() == 1
        proxy.restore()
        await wait_until(lambda: _none(sessions))


async def _none(count: Any) -> bool:
    return await count() == 0


async def test_cut_breaks_the_connections_of_one_client(proxy: Proxy) -> None:
    async with two(proxy) as (one, other):
        assert proxy.connected() == 2
        assert proxy.cut(only="nobody") == 0
        assert proxy.cut(only="one") == 1
        assert proxy.connected() == proxy.connected(only="two") == 1
        with pytest.raises(psycopg.OperationalError):
            await one.execute("select 1")
        assert await is_answered(other)
        assert proxy.counters.connections_cut == 1


async def test_refused_clients_come_in_later_and_old_ones_stay(proxy: Proxy) -> None:
    async with two(proxy) as (one, _):
        proxy.refuse = True
        with pytest.raises(psycopg.OperationalError, match="refused"):
            await connected(proxy)
        assert await is_answered(one)
        proxy.refuse = False
        async with await connected(proxy) as late:
            assert await is_answered(late)


@pytest.mark.parametrize("prepare", [False, True])
async def test_lost_reply_is_to_a_statement_that_was_committed(
    prepare: bool, proxy: Proxy, database_url: str
) -> None:
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as direct:
        await direct.execute("create table t (n integer)")
        insert = "insert into t values (%s)"
        connection = await connected(proxy)
        for n in range(3):
            await connection.execute(insert, [n], prepare=prepare)
        proxy.lose_reply(containing="INSERT into t")
        await connection.execute("select 1")
        with pytest.raises(psycopg.OperationalError):
            await connection.execute(insert, [3], prepare=prepare)
        await connection.close()
        cursor = await direct.execute("select count(*) from t")
        assert await cursor.fetchone() == (4,)
        assert (proxy.counters.replies_lost, proxy.counters.connections_cut) == (1, 1)
        async with await connected(proxy) as again:  # once is once
            await again.execute(insert, [4])


async def test_lost_reply_to_a_commit(proxy: Proxy, database_url: str) -> None:
    async with await connected(proxy, "writer") as connection:
        await connection.execute("create table t (n integer)")
        proxy.lose_reply(containing="commit", only="reader")
        proxy.lose_reply(containing="commit", only="writer")
        with pytest.raises(psycopg.OperationalError):
            async with connection.transaction():
                await connection.execute("insert into t values (1)")
    async with await psycopg.AsyncConnection.connect(database_url) as direct:
        cursor = await direct.execute("select count(*) from t")
        assert await cursor.fetchone() == (1,)


async def test_stopping_leaves_nothing_behind(database_url: str) -> None:
    with Proxy(database_url) as proxy:
        silent = await connected(proxy)
        proxy.vanish()
        assert not await is_answered(silent)
    with pytest.raises(psycopg.OperationalError, match="refused"):
        await connected(proxy)
    assert not [thread for thread in threading.enumerate() if thread.name == "forthwith-proxy"]
    await silent.close()


async def test_server_that_is_away_means_a_reset(proxy: Proxy, monkeypatch: Any) -> None:
    monkeypatch.setattr(proxy, "_host", "/nowhere")
    with pytest.raises(psycopg.OperationalError):
        await psycopg.AsyncConnection.connect(
            make_conninfo(proxy.conninfo, host="127.0.0.1", hostaddr="")
        )
    assert proxy.counters.connections == 1


# -- over TLS ---------------------------------------------------------------------------------------


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    """A certificate of `localhost` and its key."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl, which makes the certificate, is not installed")
    pem, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    request = "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost"
    outputs = ["-addext", "subjectAltName=DNS:localhost", "-out", str(pem), "-keyout", str(key)]
    subprocess.run(
        [openssl, *request.split(), *outputs],
        check=True,
        capture_output=True,
    )
    return pem, key


@pytest.fixture
async def tls_url(database_url: str, certificate: tuple[Path, Path]) -> AsyncIterator[str]:
    """The URL of something that speaks TLS before the test's database, which cannot."""
    parameters = conninfo_to_dict(database_url)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    tasks = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.current_task())
        await reader.readexactly(8)
        writer.write(b"S")
        await writer.start_tls(context)
        path = f"{parameters['host']}/.s.PGSQL.{parameters.get('port', 5432)}"
        inner_reader, inner_writer = await asyncio.open_unix_connection(path)
        try:
            await asyncio.gather(_copy(reader, inner_writer), _copy(inner_reader, writer))
        finally:
            inner_writer.close()
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    yield make_conninfo(
        database_url,
        host="localhost",
        hostaddr="127.0.0.1",
        port=port,
        sslmode="verify-full",
        sslrootcert=str(certificate[0]),
    )
    server.close()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    writer.close()


async def test_tls_goes_through_with_the_real_hosts_name(tls_url: str) -> None:
    proxy = await asyncio.to_thread(Proxy, tls_url)
    with proxy:
        connection = await connected(proxy)
        assert connection.pgconn.ssl_in_use
        assert await is_answered(connection)
        assert proxy.is_blind
        with pytest.raises(InvalidArgument, match="encrypted"):
            proxy.vanish(only="somebody")
        with pytest.raises(InvalidArgument, match="encrypted"):
            proxy.lose_reply(containing="commit")
        proxy.vanish()
        assert not await is_answered(connection)
        assert proxy.counters.bytes_swallowed > 0
    await connection.close()
