"""`forthwith bench`, as people call it."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from click.testing import CliRunner
from psycopg import sql

from forthwith.bench.bench import Measured
from forthwith.bench.figure import Figure
from forthwith.bench.scenarios import ALL
from forthwith.bench.scenarios.scenario import Scenario
from forthwith.cli.exit_code import ExitCode
from forthwith.cli.group import cli

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    WaitUntil = Callable[..., Awaitable[Any]]
    Connection = psycopg.AsyncConnection[Any]

PAGE = (Path(__file__).parents[2] / "docs/reference/cli.md").read_text()
SCHEMAS = r"select nspname from pg_namespace where nspname like 'forthwith\_bench\_%'"
TINY = ("--rounds", "1", "--jobs", "60", "--seconds", "0.3", "--pickups", "3", "--fill", "50")
DEADLINE_S = 120
KEYS = {"ok", "elapsed_s", "conditions", "sizes", "scenarios", "skipped", "hints", "leftovers"}
FIGURE_KEYS = {"name", "unit", "median", "low", "high", "values"}
GROUPS = (
    "burn-down,steady,pickup",
    "tasks,full-tables",
    "old-snapshot,processes,retries,memory",
    "defers,idle",
)
JOBS = {
    "burn-down": 60,
    "pickup": 13,
    "tasks": 60 + 12 + 6,
    "full-tables": 120,
    "old-snapshot": 300,
    "processes": 60 + 120,
    "retries": 60,
    "memory": 50,
    "idle": 0,
}


def is_empty(directory: Path) -> bool:
    return not any(directory.iterdir())


def start(home: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "forthwith", "bench", *arguments],
        env=os.environ | {"FORTHWITH_HOME": str(home)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@contextmanager
def killed_in_the_end(process: subprocess.Popen[str]) -> Iterator[None]:
    try:
        yield
    finally:
        process.kill()
        process.communicate(timeout=DEADLINE_S)


def run(home: Path, *arguments: str) -> tuple[int, str, str]:
    process = start(home, *arguments)
    output, errors = process.communicate(timeout=DEADLINE_S)
    return process.returncode, output, errors


async def schemas(connection: Connection) -> list[str]:
    return [name for (name,) in await (await connection.execute(SCHEMAS)).fetchall()]


async def sessions(connection: Connection) -> int:
    cursor = await connection.execute(
        "select count(*) from pg_stat_activity where datname = current_database()"
        r" and application_name like 'forthwith\_bench\_%'"
    )
    [(count,)] = await cursor.fetchall()
    return int(count)


@pytest.mark.parametrize("names", GROUPS)
async def test_scenarios_in_a_schema_of_their_own_on_the_users_database(
    names: str, database_url: str, connection: Connection, tmp_path: Path
) -> None:
    status, output, errors = run(
        tmp_path, "--database", database_url, *TINY, "--processes", "2",
        "--scenario", names, "--json",
    )  # fmt: skip
    assert errors.startswith("WARNING: this loads postgresql://")
    result = json.loads(output)
    assert [each["problems"] for each in result["scenarios"]] == [[]] * len(names.split(","))
    assert status == 0, (output, errors)
    assert set(result) == KEYS
    assert result["ok"]
    assert [scenario["name"] for scenario in result["scenarios"]] == names.split(",")
    for scenario in result["scenarios"]:
        check_scenario(scenario)
    assert await schemas(connection) == []
    assert await sessions(connection) == 0
    cursor = await connection.execute("select count(*) from forthwith.finished_job")
    assert await cursor.fetchone() == (0,)  # the queue that was there already is left alone
    assert is_empty(tmp_path)


def check_scenario(scenario: dict[str, Any]) -> None:
    assert (scenario["rounds"], scenario["problems"]) == (1, [])
    assert scenario["jobs"] == JOBS.get(scenario["name"], scenario["jobs"])
    assert scenario["conditions"]["fsync"] in {"on", "off"}
    assert scenario["figures"]
    for figure in scenario["figures"]:
        assert set(figure) == FIGURE_KEYS
        assert figure["low"] <= figure["median"] <= figure["high"]
        assert figure["values"] == [figure["median"]]


def test_every_scenario_is_run_by_a_test() -> None:
    assert sorted(name for group in GROUPS for name in group.split(",")) == sorted(ALL)


def test_embedded_server_of_its_own_is_removed_and_the_table_has_conditions(
    tmp_path: Path,
) -> None:
    picture = tmp_path / "result.svg"
    home = tmp_path / "home"
    status, output, errors = run(
        home, *TINY, "--scenario", "S1,pickup", "--rounds", "2", "--plot", str(picture)
    )
    assert status == 0, (output, errors)
    assert "pickup, round 2 of 2" in errors
    assert "WARNING" not in errors
    assert re.search(r"burn-down +run +[\d,]+ +[\d,]+ +[\d,]+ +jobs/s", output)
    assert re.search(r"burn-down +rounds 2, jobs 60, concurrency 100, processes 1", output)
    assert re.search(r"fsync +on", output)
    assert re.search(r"synchronous_commit +on", output)
    assert re.search(r"round trip +\d+\.\d\d ms", output)
    assert "Every run was checked" in output
    assert picture.read_text().startswith("<?xml")
    assert list(home.glob("bench-*")) == []


async def test_facts_of_the_server_become_hints(
    database_url: str, connection: Connection, tmp_path: Path
) -> None:
    await connection.execute(
        "do $$ begin execute format("
        "'alter database %I set synchronous_commit = off', current_database()); end $$"
    )
    status, output, _ = run(tmp_path, "--database", database_url, *TINY, "--scenario", "burn-down")
    assert status == 0
    assert "NUMBERS DO NOT COUNT (synchronous_commit)" in output
    assert re.search(r"synchronous_commit +off", output)


@pytest.mark.parametrize("numbers", [(signal.SIGINT, signal.SIGINT), (signal.SIGTERM,)])
async def test_interrupted_bench_leaves_nothing_behind(
    numbers: tuple[signal.Signals, ...],
    database_url: str,
    connection: Connection,
    tmp_path: Path,
    wait_until: WaitUntil,
) -> None:
    with (
        start(
            tmp_path,
            "--database",
            database_url,
            "--scenario",
            "steady",
            "--seconds",
            "600",
            "--json",
        ) as process,
        killed_in_the_end(process),
    ):
        await wait_until(lambda: at_work(connection))
        for number in numbers:
            process.send_signal(number)
        output, errors = process.communicate(timeout=30)
    assert process.returncode == ExitCode.INTERRUPTED
    assert output == ""
    assert "interrupted" in errors
    assert await schemas(connection) == []
    assert is_empty(tmp_path)

    async def gone() -> bool:
        return await sessions(connection) == 0

    await wait_until(gone)


def test_interrupted_bench_removes_its_embedded_server(tmp_path: Path) -> None:
    with (
        start(tmp_path, "--scenario", "burn-down", "--jobs", "1000000") as process,
        killed_in_the_end(process),
    ):
        assert process.stderr is not None
        lines = iter(process.stderr.readline, "")
        assert any("burn-down, round 1 of 3" in line for line in lines)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)
        assert process.returncode == ExitCode.INTERRUPTED
        assert "interrupted" in errors
    assert is_empty(tmp_path)


async def test_workers_of_a_bench_that_is_killed_leave_and_its_schema_is_named(
    database_url: str, connection: Connection, tmp_path: Path, wait_until: WaitUntil
) -> None:
    with (
        start(
            tmp_path, "--database", database_url, "--scenario", "steady", "--seconds", "600"
        ) as process,
        killed_in_the_end(process),
    ):
        await wait_until(lambda: at_work(connection))

    async def gone() -> bool:
        return await sessions(connection) == 0

    await wait_until(gone)
    [schema] = await schemas(connection)
    status, output, _ = run(tmp_path, "--database", database_url, *TINY, "--scenario", "pickup")
    assert status == 0
    assert f'drop schema "{schema}" cascade' in output
    assert await schemas(connection) == [schema]


async def at_work(connection: Connection) -> bool:
    """Whether workers of the lab are registered."""
    names = await schemas(connection)
    if not names:
        return False
    try:
        workers = sql.SQL("select count(*) from {}").format(sql.Identifier(names[0], "worker"))
        cursor = await connection.execute(workers)
    except psycopg.errors.UndefinedTable:
        return False
    [(count,)] = await cursor.fetchall()
    return bool(count)


def test_jobs_that_are_amiss_have_an_exit_code_of_their_own(
    empty_database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def amiss(_bench: object) -> Measured:
        return Measured(
            jobs=3, figures=(Figure("run", 1.0, "jobs/s"),), problems=("1 job is lost",)
        )

    monkeypatch.setitem(ALL, "burn-down", Scenario("burn-down", "S1", "a test", amiss))
    monkeypatch.setenv("FORTHWITH_HOME", str(tmp_path))
    done = CliRunner().invoke(
        cli, ["bench", "--database", empty_database_url, "--scenario", "S1", "--rounds", "1"],
        standalone_mode=False,
    )  # fmt: skip
    assert done.exception is None
    assert done.return_value == ExitCode.JOBS_AMISS
    assert "AMISS: burn-down, round 1: 1 job is lost" in done.output
    assert "jobs/s" not in done.output


def test_picture_without_matplotlib_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from forthwith.cli.program import run as run_program

    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name, *more: None if name == "matplotlib" else find_spec(name, *more),
    )
    assert run_program(["bench", "--plot", str(tmp_path / "x.png")]) == ExitCode.FAILED
    assert "pip install 'forthwith[plot]'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--scenario", "speed"], "knows no 'speed'"),
        (["--scenario", "S10"], "forthwith verify"),
        (["--jobs", "0"], "--jobs"),
        (["--seconds", "0"], "--seconds"),
        (["--plot", "x.pdf"], "must end in .png or .svg"),
        (["--plot", "nowhere/x.png"], "there is no directory nowhere"),
        (["--app", "module:app"], "bench needs no --app"),
    ],
)
def test_wrong_options_are_named(tmp_path: Path, arguments: list[str], words: str) -> None:
    status, output, errors = run(tmp_path, *arguments)
    assert (status, output) == (2, "")
    assert words in errors
    assert is_empty(tmp_path)


def test_database_that_does_not_answer_is_named(tmp_path: Path) -> None:
    url = "postgresql://ada:secret-password@127.0.0.1:1/nowhere?connect_timeout=2"
    status, output, errors = run(tmp_path, "--database", url, *TINY)
    assert (status, output) == (ExitCode.DATABASE_UNAVAILABLE, "")
    assert "secret-password" not in errors
    assert is_empty(tmp_path)


def test_scenarios_are_listed_and_documented(tmp_path: Path) -> None:
    status, output, errors = run(tmp_path, "--list-scenarios")
    assert (status, errors) == (0, "")
    for scenario in ALL.values():
        assert re.search(
            rf"^{scenario.number} +{scenario.name} +{scenario.meaning[:20]}", output, re.MULTILINE
        )
        assert f"| {scenario.number} | `{scenario.name}` |" in PAGE
    assert "S10  faults        see `forthwith verify`" in output


def test_json_keys_are_documented() -> None:
    section = PAGE.partition("## `forthwith bench`\n")[2]
    assert not [key for key in KEYS | FIGURE_KEYS if f"`{key}`" not in section]
