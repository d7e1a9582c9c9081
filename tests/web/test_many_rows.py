"""Where there is a queue for each customer, pages stay short, and show what somebody should see."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from forthwith.operations.search import FIRST_LOOK
from forthwith.web.pages.chosen import OVERVIEW_ROWS_MAX, ROWS_MAX
from tests.store.conftest import make_worker, worker
from tests.web.test_pages import Reader, read

if TYPE_CHECKING:
    import httpx
    import psycopg
    import pytest

    import forthwith

__all__ = ["make_worker", "worker"]  # fixtures of the tests of the SQL
MANY = ROWS_MAX + 20
FILL = """
insert into forthwith.job (queue, task, args, state)
select 'customer-' || number, 'task-' || number, '{}'::jsonb, 'ready'::forthwith.job_state
from generate_series(1, %s) number
union all
select 'customer-7', 'task-7', '{}'::jsonb, 'ready'::forthwith.job_state from generate_series(1, 3)
"""


def rows(page: Reader, kind: str) -> list[str]:
    """Return the ids of the rows of a table."""
    ids = [str(row.get("id")) for row in page.all("tr")]
    return [name for name in ids if name.startswith(f"{kind}/")]


async def test_long_tables_are_cut_and_say_so(
    client: httpx.AsyncClient, connection: psycopg.AsyncConnection[Any]
) -> None:
    await connection.execute(FILL, [MANY])
    await client.post("/queues/pause", data={"queue": "customer-9"})
    for path, kind, most in (
        ("/", "queue", OVERVIEW_ROWS_MAX),
        ("/queues", "queue", ROWS_MAX),
        ("/tasks", "task", ROWS_MAX),
    ):
        page = await read(client, path)
        shown = rows(page, kind)
        assert len(shown) == most
        assert shown == sorted(shown)
        told = re.search(rf"(\d+) {kind}s with fewer jobs are not shown", page.text)
        assert told is not None
        assert int(told[1]) >= MANY - most  # and tasks of our own
        chief = ["queue/customer-7", "queue/customer-9"] if kind == "queue" else ["task/task-7"]
        assert set(chief) <= set(shown)


async def test_short_tables_are_whole(
    client: httpx.AsyncClient, connection: psycopg.AsyncConnection[Any]
) -> None:
    await connection.execute(FILL, [OVERVIEW_ROWS_MAX])
    page = await read(client, "/")
    assert len(rows(page, "queue")) == OVERVIEW_ROWS_MAX
    assert "not shown" not in page.text


async def test_large_arguments_and_results_are_cut_and_say_so(
    client: httpx.AsyncClient, app: forthwith.App
) -> None:
    @app.task(name="large", keep_result=True)
    async def large(text: str) -> str:
        return text

    async with app.open_async():
        job_id = await large.defer_async(text="x" * 500_000)
        await app.run_worker_async(wait=False, install_signal_handlers=False, listen_notify=False)
    page = await read(client, f"/jobs/{job_id}")
    assert len(page.text) < 60_000
    assert page.text.count("more characters are not shown") == 2
    assert f"/api/jobs/{job_id}" in {link.get("href") for link in page.all("a")}


async def test_notes_alone_are_no_alarm_and_can_be_found(
    client: httpx.AsyncClient, connection: psycopg.AsyncConnection[Any]
) -> None:
    page = await read(client, "/")
    assert "Nothing is wrong that can be seen from here." in page.text
    assert "on the health page" not in page.text
    await connection.execute(
        "insert into forthwith.migration (name, checksum) values ('9999_of_the_future', '')"
    )
    page = await read(client, "/")
    assert "Nothing is wrong that can be seen from here." in page.text
    assert "1 note on the health page" in page.text
    assert "9999_of_the_future" not in page.text
    assert "9999_of_the_future" in (await read(client, "/health")).text


async def test_queues_that_nobody_listens_to_leave_room_for_the_rest(
    client: httpx.AsyncClient,
    connection: psycopg.AsyncConnection[Any],
    worker: object,
) -> None:
    await connection.execute(FILL, [MANY])
    await connection.execute("update forthwith.worker set queues = '{other}'")
    page = await read(client, "/health")
    assert (
        page.text.count("No worker listens to queue") == 11
    )  # one of them in what the last line says
    assert f"{MANY - 10} more of the kind no-listener" in page.text


async def test_empty_database_is_told_as_what_it_is(client: httpx.AsyncClient) -> None:
    jobs = await read(client, "/jobs")
    assert "There is no job yet." in jobs.text
    health = await read(client, "/health")
    assert "Nothing is wrong" in health.text
    assert "workers live" not in health.text  # there are none
    assert "No worker is registered." in (await read(client, "/workers")).text


async def test_preview_that_could_not_count_all_says_how_to_take_them(
    client: httpx.AsyncClient,
    connection: psycopg.AsyncConnection[Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await connection.execute(FILL, [2 * FIRST_LOOK])
    path = "/actions?action=cancel&status=todo"
    page = await read(client, path)
    assert "Raise the number" not in page.text
    assert page.fields("/actions")["expected_max"] == str(2 * FIRST_LOOK + 3)
    assert (await read(client, "/actions?action=cancel&queue=nobody")).all("form") == []
    monkeypatch.setattr("forthwith.operations.actions.PREVIEW_TIME_MAX_S", 0.0)
    page = await read(client, path)
    assert "Raise the number to take those, too." in page.text
    fields = page.fields("/actions")
    assert int(fields["expected_max"]) < 2 * FIRST_LOOK
    done = await client.post("/actions", data={**fields, "expected_max": "1000000"})
    assert f"{2 * FIRST_LOOK + 3:,} jobs cancelled." in (await client.get("/jobs")).text
    assert done.status_code == 303


async def test_what_is_too_rare_to_be_found_in_a_moment_can_be_acted_on_all_the_same(
    client: httpx.AsyncClient,
    connection: psycopg.AsyncConnection[Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await connection.execute(
        "insert into forthwith.job (queue, task, args, state) values ('rare', 'work', '{}', 'ready')"
    )
    await connection.execute(FILL, [2 * FIRST_LOOK])
    monkeypatch.setattr("forthwith.operations.actions.PREVIEW_TIME_MAX_S", 0.0)
    page = await read(client, "/actions?action=cancel&task=work")
    assert "0+ of them would be cancelled" in " ".join(page.text.split())
    await client.post("/actions", data=page.fields("/actions"))
    assert "1 job cancelled." in (await client.get("/jobs")).text
