"""The lab notices what goes wrong, and cleans up."""

from __future__ import annotations

import asyncio
import os
import re
import signal
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from forthwith.bench import crew as crew_module
from forthwith.bench import place as place_module
from forthwith.bench.activity import Activity, observed
from forthwith.bench.bench import Bench, Measured
from forthwith.bench.errors import BenchRefused, SchemaLeft
from forthwith.bench.facts import gather_facts
from forthwith.bench.laboratory import measure
from forthwith.bench.place import SCHEMA_PREFIX, open_place
from forthwith.bench.scenarios import ALL
from forthwith.bench.scenarios.scenario import Scenario
from forthwith.bench.settings import BenchSettings
from forthwith.bench.tally import Tally

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

    from forthwith.bench.laboratory import Result

JOBS = 20


@pytest.fixture
async def bench(empty_database_url: str, tmp_path: Path) -> AsyncIterator[Bench]:
    settings = BenchSettings(home=tmp_path, scenarios=(), url=empty_database_url, jobs=JOBS)
    async with open_place(empty_database_url, tmp_path) as place:
        yield Bench(place, tmp_path, settings)


async def result_of(run: Any, url: str, home: Path, monkeypatch: pytest.MonkeyPatch) -> Result:
    """Return what the laboratory says of a scenario that is made for the test."""
    monkeypatch.setitem(ALL, "test", Scenario("test", "S0", "a test", run))
    return await measure(BenchSettings(home=home, scenarios=("test",), url=url, rounds=1))


async def test_jobs_that_ran_as_they_should_are_no_problem(bench: Bench) -> None:
    found = await bench.burn_down(JOBS)
    assert found.problems == ()
    assert found.jobs_per_s > 0
    # And again, beside what the tables hold now.
    assert (await bench.burn_down(JOBS, task="fails_once", times=2)).problems == ()


async def test_what_is_amiss_is_found_in_the_tally_and_in_the_history(bench: Bench) -> None:
    await bench.burn_down(JOBS)
    await bench.rows(
        bench.place.statement("delete from forthwith.finished_job where id = 3 returning id")
    )
    tally = Tally()
    for number in [*range(JOBS - 1), 0]:
        tally.note(number)
    assert await bench.problems(tally, JOBS, first_id=0) == (
        "1 of 20 jobs ran 0 times, not 1",
        "1 of 20 jobs ran 2 times, not 1",
        "of 20 jobs 19 are in history, 0 of them twice, and 19 succeeded",
    )


async def test_lost_job_is_reported(
    empty_database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crew_module, "STALLED_S", 1.0)

    async def lose(bench: Bench) -> Measured:
        await bench.load(JOBS, "nothing")
        await bench.rows(
            bench.place.statement("delete from forthwith.job where id = 5 returning id")
        )
        await bench.work_off(JOBS, first_id=0)
        raise AssertionError("unreachable")

    result = await result_of(lose, empty_database_url, tmp_path, monkeypatch)
    assert result.problems == ["test, round 1: 19 of 20 runs, and none more in 1 seconds"]


async def test_death_of_a_worker_is_reported(
    empty_database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def kill(bench: Bench) -> Measured:
        async with bench.crew(1, {"concurrency": 1}, "idle", 1) as crew:
            await crew.wait_ready()
            os.kill(crew.children[0].pid, signal.SIGKILL)
            await crew.wait_ran(1)
        raise AssertionError("unreachable")

    result = await result_of(kill, empty_database_url, tmp_path, monkeypatch)
    [problem] = result.problems
    assert problem.startswith("test, round 1: worker-1 has died")


async def test_worker_that_has_hardly_begun_is_let_leave(bench: Bench) -> None:
    async with bench.crew(2, {"concurrency": 1}, "idle", 1) as crew:
        await crew.stop()
    assert [child.events[-1].name for child in crew.children] == ["ended"] * 2


async def test_schema_that_cannot_be_dropped_is_named(
    empty_database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(place_module, "DROP_WAIT_MS", 100)
    monkeypatch.setattr(place_module, "DROP_ATTEMPTS", 1)
    async with await psycopg.AsyncConnection.connect(empty_database_url) as other:
        with pytest.raises(SchemaLeft) as raised:  # noqa: PT012 -- raised where the block ends
            async with open_place(empty_database_url, tmp_path) as place:
                table = sql.Identifier(place.schema, "job")
                await other.execute(sql.SQL("lock table {}").format(table))
        assert f'drop schema "{place.schema}" cascade' in str(raised.value)
        await other.rollback()
    # The next run says so.
    async with open_place(empty_database_url, tmp_path) as next_place:
        assert next_place.leftovers == (place.schema,)


async def test_cancelled_lab_drops_its_schema(empty_database_url: str, tmp_path: Path) -> None:
    opened = asyncio.Event()

    async def open_and_wait() -> None:
        async with open_place(empty_database_url, tmp_path):
            opened.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(open_and_wait())
    await opened.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with await psycopg.AsyncConnection.connect(empty_database_url) as connection:
        cursor = await connection.execute(
            "select count(*) from pg_namespace where starts_with(nspname, %s)", [SCHEMA_PREFIX]
        )
        assert await cursor.fetchone() == (0,)


@pytest.fixture
def guest_url(empty_database_url: str) -> Iterator[str]:
    """The URL of the test's database for a role that has no rights yet."""
    name = f"bench_guest_{os.getpid()}"
    role = sql.Identifier(name)
    with psycopg.connect(empty_database_url, autocommit=True) as connection:
        connection.execute(sql.SQL("create role {} login").format(role))
        yield make_conninfo(empty_database_url, user=name)
        connection.execute(sql.SQL("drop owned by {}").format(role))
        connection.execute(sql.SQL("drop role {}").format(role))


async def test_role_that_may_not_create_a_schema_is_told_what_helps_and_then_it_works(
    guest_url: str, empty_database_url: str, tmp_path: Path
) -> None:
    settings = BenchSettings(
        home=tmp_path, scenarios=("burn-down", "retries"), url=guest_url, rounds=1, jobs=JOBS
    )
    with pytest.raises(BenchRefused, match="grant create on database") as raised:
        await measure(settings)
    [grant] = re.findall("grant create .*", str(raised.value))
    async with await psycopg.AsyncConnection.connect(empty_database_url) as connection:
        await connection.execute(grant.encode())
    result = await measure(settings)
    assert result.problems == []
    assert [run.jobs for run in result.runs] == [JOBS, JOBS]


async def test_read_only_session_is_refused(empty_database_url: str, tmp_path: Path) -> None:
    url = make_conninfo(empty_database_url, options="-c default_transaction_read_only=on")
    with pytest.raises(BenchRefused, match="read-only"):
        async with open_place(url, tmp_path):
            raise AssertionError("unreachable")


async def test_pooler_is_refused(empty_database_url: str, tmp_path: Path) -> None:
    parameters = conninfo_to_dict(empty_database_url)
    host, port = str(parameters["host"]), parameters.get("port", 5432)
    socket = f"{host}/.s.PGSQL.{port}"
    served = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass everything on, but announce another process id, as poolers do."""
        upstream = (
            asyncio.open_unix_connection(socket)
            if host.startswith("/")
            else asyncio.open_connection(host, port)
        )
        from_server, to_server = await upstream
        forth = asyncio.create_task(pump(reader, to_server))
        await pump(from_server, writer, other_pid)
        await forth
        served.set()

    pooler = await asyncio.start_server(serve, "127.0.0.1")
    async with pooler:
        place = pooler.sockets[0].getsockname()
        url = make_conninfo(
            empty_database_url,
            host=place[0],
            port=place[1],
            sslmode="disable",
            gssencmode="disable",
        )
        with pytest.raises(BenchRefused, match="a pooler"):
            async with open_place(url, tmp_path):
                raise AssertionError("unreachable")
        await served.wait()


async def pump(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    change: Callable[[bytes], bytes] = bytes,
) -> None:
    while data := await reader.read(65536):
        writer.write(change(data))
    writer.close()
    await writer.wait_closed()


def other_pid(data: bytes) -> bytes:
    """Replace the process id in a BackendKeyData message."""
    announced = rb"(?<=K\x00\x00\x00\x0c)...."
    return re.sub(announced, lambda _: bytes([0, 0, 0, 1]), data, flags=re.DOTALL)


async def test_facts_are_gathered(bench: Bench) -> None:
    facts = await gather_facts(bench.place)
    assert facts.settings["fsync"] in {"on", "off"}
    assert facts.sizes["shared_buffers"] > 0
    assert facts.sizes["max_wal_size"] > 0
    assert facts.round_trip_ms > 0
    assert facts.commit_ms > 0
    assert facts.connections_free > 0


async def test_old_snapshot_of_somebody_else_is_seen(bench: Bench, empty_database_url: str) -> None:
    activity = Activity()
    async with await psycopg.AsyncConnection.connect(empty_database_url) as other:
        await other.execute("set transaction isolation level repeatable read")
        await other.execute("select 1")
        async with observed(bench.place, activity):
            for _ in range(3):
                await bench.rows(b"select pg_current_xact_id()::text")
    assert activity.oldest_snapshot_transactions >= 3
