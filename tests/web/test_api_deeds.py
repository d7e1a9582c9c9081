"""The JSON API does what it is asked to do, to one job and to many; each test has jobs of its own."""

from __future__ import annotations

import json
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pytest

from tests.web.api_client import found, jobs
from tests.web.populated import FAR, HOSTILE, QUEUE, SECRET, app_of, populate, soon

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import httpx

    import forthwith


@pytest.fixture
async def app(database_url: str) -> AsyncIterator[forthwith.App]:
    app = app_of(database_url)
    async with app.open_async():
        yield app


@pytest.fixture(autouse=True)
async def ids(app: forthwith.App) -> dict[str, int]:
    return await populate(app)


async def test_single_jobs_are_steered(client: httpx.AsyncClient, ids: dict[str, int]) -> None:
    async def do(deed: str, which: str, **body: Any) -> tuple[int, str]:
        method, path = ("DELETE", "") if deed == "delete" else ("POST", f"/{deed}")
        response = await client.request(method, f"/api/jobs/{ids[which]}{path}", json=body or None)
        view = await client.get(f"/api/jobs/{ids[which]}")
        return response.status_code, view.json().get("job", {}).get("status", "gone")

    assert await do("retry", "cancelled") == (200, "todo")
    assert await do("retry", "succeeded") == (409, "succeeded")
    assert await do("cancel", "blocked") == (200, "cancelled")
    assert await do("cancel", "blocked") == (409, "cancelled")
    assert await do("abort", "ready") == (409, "todo")
    at = soon()
    assert await do("reschedule", "scheduled", at=at) == (200, "todo")
    [job] = (await jobs(client, status="scheduled"))["jobs"]
    assert datetime.fromisoformat(job["scheduled_at"]) == datetime.fromisoformat(at)
    assert await do("delete", "failed") == (200, "gone")
    assert await do("delete", "failed") == (404, "gone")
    assert await do("reschedule", "ready") == (422, "todo")
    assert await do("reschedule", "ready", at="2030-01-01T00:00:00") == (422, "todo")


async def test_jobs_that_are_named_are_previewed_too(
    client: httpx.AsyncClient, ids: dict[str, int]
) -> None:
    named = [ids["failed"], ids["scheduled"], 999_999]
    asked = {"action": "retry", "ids": named}
    preview = (await client.post("/api/actions/preview", json=asked)).json()
    assert (preview["count"], preview["is_exact"]) == (1, True)
    assert [job["id"] for job in preview["sample"]] == [ids["failed"]]
    assert SECRET not in str(preview)
    assert {skipped["count"] for skipped in preview["skipped"]} == {1}
    for neither in ({"action": "retry"}, {**asked, "filter": {}}):
        answer = await client.post("/api/actions/preview", json=neither)
        assert (answer.status_code, "either" in answer.text) == (422, True)
    done = (await client.post("/api/actions/apply", json=asked)).json()
    assert (done["done"], done["skipped"]) == (preview["count"], preview["skipped"])


async def test_many_jobs_are_steered_after_a_preview(client: httpx.AsyncClient) -> None:
    meant = {"action": "cancel", "filter": {"queue": QUEUE}}

    preview = (await client.post("/api/actions/preview", json=meant)).json()
    done = await client.post("/api/actions/apply", json={**meant, "expected_max": 10})

    assert preview["count"] == 2
    assert preview["is_exact"]
    assert SECRET not in json.dumps(preview)
    assert done.json()["done"] == 2
    assert await found(client, queue=QUEUE, status="todo") == []

    meant = {"action": "delete", "filter": {"text": "script"}}

    preview = (await client.post("/api/actions/preview", json=meant)).json()
    one = await client.post("/api/actions/apply", json={**meant, "expected_max": 1})
    rest = await client.post("/api/actions/apply", json={**meant, "expected_max": 100})

    assert preview["count"] == 3
    assert (one.json()["done"], rest.json()["done"]) == (1, 2)
    assert await found(client, text="script") == []


async def test_jobs_are_steered_by_their_ids(
    client: httpx.AsyncClient, ids: dict[str, int]
) -> None:
    for action, body in (
        ("reschedule", {"ids": [ids["scheduled"], ids["failed"]], "at": FAR.isoformat()}),
        ("retry", {"ids": [ids["cancelled"], 99]}),
        ("delete", {"ids": [ids["failed"], ids["failed"]]}),
    ):
        response = await client.post("/api/actions/apply", json={"action": action, **body})
        assert (response.status_code, response.json()["done"]) == (200, 1), response.text


async def test_periodic_task_is_run_paused_and_resumed(client: httpx.AsyncClient) -> None:
    [state] = (await client.get("/api/periodic")).json()
    which = {"task": state["task"], "periodic_id": state["periodic_id"]}

    run = await client.post("/api/periodic/run", json=which)
    paused = await client.post("/api/periodic/pause", json=which)
    resumed = await client.post("/api/periodic/resume", json=which)
    unknown = await client.post("/api/periodic/run", json={"task": HOSTILE})

    assert HOSTILE in which["periodic_id"]
    view = (await client.get(f"/api/jobs/{run.json()['job_id']}")).json()
    assert view["job"]["task"] == "yearly"
    assert (paused.json(), resumed.json()) == ({"changed": True}, {"changed": True})
    assert unknown.status_code == 404
