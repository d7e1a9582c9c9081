"""`forthwith verify`, as people call it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg import sql

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    WaitUntil = Callable[..., Awaitable[Any]]
    Connection = psycopg.AsyncConnection[Any]

LAB_SCHEMAS = r"select nspname from pg_namespace where nspname like 'forthwith\_verify\_%'"


def start(home: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "forthwith", "verify", *arguments],
        env=os.environ | {"FORTHWITH_HOME": str(home)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(home: Path, *arguments: str) -> tuple[int, str, str]:
    process = start(home, *arguments)
    output, errors = process.communicate(timeout=120)
    return process.returncode, output, errors


async def lab_schemas(connection: Connection) -> list[str]:
    return [name for (name,) in await (await connection.execute(LAB_SCHEMAS)).fetchall()]


async def test_users_database_is_verified_in_a_schema_of_its_own_which_goes_again(
    database_url: str, connection: Connection, tmp_path: Path
) -> None:
    status, output, errors = run(
        tmp_path, "--database", database_url, "--minutes", "0.15", "--seed", "7",
        "--faults", "kill,terminate,cut", "--keep", "--json",
    )  # fmt: skip
    result = json.loads(output)
    assert (status, errors) == (0, ""), result
    assert result["ok"]
    assert result["jobs"] > 50
    assert set(result["struck"]) == {"kill", "terminate", "cut"}
    assert await lab_schemas(connection) == []
    rows = await (
        await connection.execute("select count(*) from forthwith.finished_job")
    ).fetchall()
    assert rows == [(0,)]  # the queue that was there already is left alone

    history = tmp_path / "verify" / "seed-7-1" / "history.json"
    status, output, errors = run(tmp_path, "--history", str(history))
    assert (status, errors) == (0, "")
    assert "I1 No accepted job is lost: each ends in a final state, in history: holds" in output

    # The same history with one job gone must not pass.
    document = json.loads(history.read_text())
    document["jobs"] = document["jobs"][1:]
    history.write_text(json.dumps(document))
    status, output, errors = run(tmp_path, "--history", str(history))
    assert status == 1
    assert "is nowhere" in output


async def test_faults_that_did_not_happen_prove_nothing(database_url: str, tmp_path: Path) -> None:
    # Six seconds have no room for a freeze that is longer than a lease after a kill.
    status, output, _ = run(
        tmp_path, "--database", database_url, "--minutes", "0.1", "--seed", "2",
        "--faults", "kill,freeze", "--workers", "2",
    )  # fmt: skip
    assert status == 1
    assert "INCONCLUSIVE: nothing was violated, but no fault of these kinds struck" in output
    assert "Run it again:     forthwith --database" in output
    assert "--seed 2 --minutes 0.1 --workers 2 --faults kill,freeze" in output


async def test_interrupted_campaign_leaves_nothing_behind(
    database_url: str, connection: Connection, tmp_path: Path, wait_until: WaitUntil
) -> None:
    process = start(tmp_path, "--database", database_url, "--minutes", "5", "--faults", "kill")
    workers = sql.SQL("select count(*) from {}.worker")

    async def at_work() -> bool:
        names = await lab_schemas(connection)
        if not names:
            return False
        try:
            cursor = await connection.execute(workers.format(sql.Identifier(names[0])))
        except psycopg.errors.UndefinedTable:
            return False
        return await cursor.fetchone() == (3,)

    await wait_until(at_work)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "interrupted" in errors
    assert await lab_schemas(connection) == []
    cursor = await connection.execute(
        "select count(*) from pg_stat_activity"
        " where datname = current_database() and application_name ~ '^worker-'"
    )
    assert await cursor.fetchone() == (0,)


async def test_workers_of_a_campaign_that_is_killed_leave(
    database_url: str, connection: Connection, tmp_path: Path, wait_until: WaitUntil
) -> None:
    process = start(tmp_path, "--database", database_url, "--minutes", "5", "--faults", "cut")

    async def none_is_connected() -> bool:
        cursor = await connection.execute(
            "select from pg_stat_activity"
            " where datname = current_database() and application_name ~ '^worker-'"
        )
        return await cursor.fetchone() is None

    def logs_with(words: str) -> set[Path]:
        logs = (tmp_path / "verify").glob("seed-*/logs/worker-*.log")
        return {log for log in logs if words in log.read_text()}

    # One that is still starting may end for want of the campaign's proxy, before it says anything.
    await wait_until(lambda: len(logs_with(" starts (")) >= 3)
    at_work = logs_with(" starts (")
    process.kill()
    process.communicate(timeout=30)
    await wait_until(lambda: at_work <= logs_with("The supervisor is gone"))
    await wait_until(none_is_connected)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--faults", "flood"], "knows no 'flood'"),
        (["--database", "postgresql://x", "--faults", "crash"], "'crash' would stop your server"),
        (["--minutes", "0"], "--minutes"),
        (["--workers", "1"], "--workers"),
        (["--history", "nowhere.json"], "--history"),
        (["--app", "module:app"], "verify needs no --app"),
    ],
)
def test_wrong_options_are_named(tmp_path: Path, arguments: list[str], words: str) -> None:
    status, output, errors = run(tmp_path, *arguments)
    assert status == 2
    assert output == ""
    assert words in errors
    assert not (tmp_path / "verify").exists()


def test_file_that_is_no_history_is_named(tmp_path: Path) -> None:
    file = tmp_path / "list.json"
    file.write_text('{"calls": 1}')
    status, _, errors = run(tmp_path, "--history", str(file))
    assert status == 2
    assert "is not a history" in errors


def test_kinds_of_faults_are_listed(tmp_path: Path) -> None:
    status, output, errors = run(tmp_path, "--list-faults")
    assert (status, errors) == (0, "")
    assert "kill       SIGKILL of a worker process\n" in output
    assert "(not with --database)" in output
