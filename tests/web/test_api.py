"""The JSON API: what it answers on jobs of every kind. No test here changes any."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
import pytest_asyncio

from forthwith import App
from forthwith.operations import ACTIONS, STATUSES
from forthwith.web import dashboard
from forthwith.web.problems import MEDIA_TYPE
from forthwith.web.redaction import HIDDEN
from tests.web.api_client import found, jobs
from tests.web.conftest import client_of
from tests.web.populated import FAR, HOSTILE, LOCK, QUEUE, SECRET, TASK, app_of, populate

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    import httpx

    from forthwith.web.asgi import Dashboard
    from tests.support.databases import Databases

pytestmark = pytest.mark.asyncio(loop_scope="module")

JSON = {"Content-Type": "application/json"}
QUESTIONS = (
    "overview",
    "queues",
    "workers",
    "tasks",
    "periodic",
    "locks",
    "errors",
    "stats/live",
    "stats/history",
)


@pytest.fixture(scope="module")
def populated(databases: Databases) -> Iterator[tuple[str, dict[str, int]]]:
    """The URL of a database with jobs of every kind, for tests that only look; and the jobs' ids."""
    name, url = databases.create_clone()

    async def fill() -> dict[str, int]:
        app = app_of(url)
        async with app.open_async():
            return await populate(app)

    yield url, asyncio.run(fill())
    databases.drop(name)


@pytest.fixture
def ids(populated: tuple[str, dict[str, int]]) -> dict[str, int]:
    """The ids of the jobs that tests look at."""
    return populated[1]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def boards(populated: tuple[str, dict[str, int]]) -> AsyncIterator[Callable[..., Dashboard]]:
    """Make dashboards of the database, which stay to the end; always the same one for the same settings."""
    app = app_of(populated[0])
    made: dict[str, Dashboard] = {}

    def make(**settings: Any) -> Dashboard:
        return made.setdefault(repr(settings), dashboard(app, **settings))

    yield make
    for board in made.values():
        await board.aclose()
    await app.close_async()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def client(boards: Callable[..., Dashboard]) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a dashboard that is open to operators."""
    async with client_of(boards(open_to_all="operator")) as client:
        yield client


# -- looking ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("question", QUESTIONS)
async def test_question_is_answered_in_json(client: httpx.AsyncClient, question: str) -> None:
    response = await client.get(f"/api/{question}")

    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    assert SECRET not in response.text


async def test_filters_find_what_they_say(client: httpx.AsyncClient, ids: dict[str, int]) -> None:
    for status in ("failed", "succeeded", "cancelled", "scheduled"):
        assert await found(client, status=status) == [ids[status]]
    assert ids["blocked"] in await found(client, status="blocked")
    assert await found(client, queue=QUEUE) == [ids["blocked"], ids["ready"], ids["failed"]]
    assert await found(client, task=TASK, status="todo") == [ids["blocked"], ids["ready"]]
    assert await found(client, lock=LOCK, status="failed") == [ids["failed"]]
    assert await found(client, error="ValueError") == [ids["failed"]]
    assert await found(client, deferred_before="2000-01-01T00:00:00Z") == []
    assert await found(client, ended_after="2100-01-01T00:00:00Z") == []
    assert await found(client, deferred_after="2000-01-01T00:00:00+02:00", task="fine") == [
        *(ids["scheduled"], ids["cancelled"], ids["succeeded"])
    ]
    assert await found(client, queue=HOSTILE) == []


async def test_pages_lead_through_all_jobs_once(
    client: httpx.AsyncClient, ids: dict[str, int]
) -> None:
    seen: list[int] = []
    after: str | None = None
    while True:
        page = await jobs(client, limit=1, **({} if after is None else {"after": after}))
        assert len(page["jobs"]) <= 1
        seen += [job["id"] for job in page["jobs"]]
        after = page["next_cursor"]
        if after is None:
            break

    assert seen == sorted(ids.values(), reverse=True)


async def test_job_shows_what_is_known_but_no_secrets(
    client: httpx.AsyncClient, ids: dict[str, int]
) -> None:
    response = await client.get(f"/api/jobs/{ids['failed']}")
    view = response.json()

    assert SECRET not in response.text
    assert view["job"]["status"] == "failed"
    assert view["args"] == view["job"]["args"]
    assert view["args"]["to"] == HOSTILE
    assert view["args"][HOSTILE] == [HOSTILE]
    assert view["args"]["deep"] == [{"password": HIDDEN}]
    [attempt] = view["attempts"]
    assert attempt["exception_type"] == "ValueError"
    assert HOSTILE[:20] in attempt["message"]


async def test_hostile_names_are_only_ever_json(client: httpx.AsyncClient) -> None:
    for path in (*QUESTIONS, "jobs", "findings", f"jobs?queue={quote(QUEUE)}"):
        response = await client.get(f"/api/{path}")
        assert response.headers["content-type"] == "application/json"
        assert response.headers["x-content-type-options"] == "nosniff"
    assert (await found(client))[0], "the table is still there"


async def test_text_is_found_in_what_is_shown(
    client: httpx.AsyncClient, ids: dict[str, int]
) -> None:
    assert await found(client, text="LINUS") == [ids["scheduled"]]
    assert await found(client, text="ada", status="succeeded") == [ids["succeeded"]]
    assert await found(client, text='"to": "grace"') == [ids["cancelled"]]
    first = await jobs(client, text="api_key", limit=2)
    assert [job["id"] for job in first["jobs"]] == [ids["blocked"], ids["ready"]]
    assert await found(client, text="api_key", after=first["next_cursor"]) == [
        *(ids["succeeded"], ids["failed"])
    ]


@pytest.mark.parametrize("text", [SECRET, "ter2"])
async def test_no_search_tells_of_a_secret(client: httpx.AsyncClient, text: str) -> None:
    """What is answered on a text in hidden values is what is answered on one that is nowhere."""
    nowhere = "zzzz-nowhere"
    for query in ({}, {"limit": 1}, {"status": "failed"}, {"task": "fine", "limit": 1}):
        assert await jobs(client, text=text, **query) == await jobs(client, text=nowhere, **query)
    for action in ACTIONS:
        secret, other = [
            await client.post(
                "/api/actions/preview", json={"action": action, "filter": {"text": searched}}
            )
            for searched in (text, nowhere)
        ]
        assert secret.status_code == 200
        assert secret.json() == other.json()


async def test_hidden_arguments_show_their_names_alone(
    boards: Callable[..., Dashboard], ids: dict[str, int]
) -> None:
    board = boards(open_to_all="operator", hide_arguments=True)
    async with client_of(board) as client:
        view = (await client.get(f"/api/jobs/{ids['succeeded']}")).json()
        assert view["args"] == view["job"]["args"] == {"to": HIDDEN, "api_key": HIDDEN}
        assert all(
            value == HIDDEN
            for job in (await jobs(client))["jobs"]
            for value in job["args"].values()
        )
        refused = await client.get("/api/jobs?text=ada")
        bulk = [
            await client.post(f"/api/actions/{deed}", json=body)
            for deed, body in (
                ("preview", {"action": "retry", "filter": {"text": "ada"}}),
                ("apply", {"action": "retry", "filter": {"text": "ada"}, "expected_max": 1}),
            )
        ]

    assert [response.status_code for response in (refused, *bulk)] == [422] * 3
    assert refused.json()["invalid"][0]["where"] == "text"


async def test_rule_of_ones_own_hides(
    boards: Callable[..., Dashboard], ids: dict[str, int]
) -> None:
    board = boards(open_to_all="viewer", redact=lambda name, _value: name == "to")
    async with client_of(board) as client:
        view = (await client.get(f"/api/jobs/{ids['succeeded']}")).json()

    assert view["args"] == {"to": HIDDEN, "api_key": SECRET}


@pytest.mark.parametrize(
    "query",
    [
        *("limit=0", "limit=201", "limit=x", "after=x", "after=-1", "after=99999999999999999999"),
        *("status=gone", "queue=", "queue=%00", f"queue={'x' * 129}", "worker_id=0", "unknown=1"),
        *(
            "deferred_after=2030-01-01T00:00:00",
            "deferred_after=soon",
            "deferred_after=1514",
            f"text={'x' * 1001}",
        ),
    ],
)
async def test_query_that_cannot_be_used_is_refused(client: httpx.AsyncClient, query: str) -> None:
    response = await client.get(f"/api/jobs?{query}")

    assert response.status_code == 422
    assert response.headers["content-type"] == MEDIA_TYPE
    [invalid] = response.json()["invalid"]
    assert query.partition("=")[0] in invalid["where"]


@pytest.mark.parametrize("job_id", ["0", "-1", "x", str(2**63), "1.5"])
async def test_id_that_no_job_has_is_refused(client: httpx.AsyncClient, job_id: str) -> None:
    assert (await client.get(f"/api/jobs/{job_id}")).status_code == 422


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"[" * 200_000, 400),
        (b"\xff\xfe", 400),
        (b'{"ids": [' + b"9" * 5_000 + b"]}", 400),
        (b'{"action": "retry", "ids": [1e400]}', 422),
        (rb'{"action": "retry", "filter": {"text": "\ud800"}, "expected_max": 1}', 422),
        (rb'{"action": "retry", "filter": {"queue": "a\u0000"}, "expected_max": 1}', 422),
        (b'{"action": "reschedule", "ids": [1], "at": "9999-12-31T23:59:59-23:59"}', 422),
        (b'{"action": "reschedule", "ids": [1], "at": 1e300}', 422),
    ],
    ids=range(8),
)
async def test_body_that_hurts_parsers_is_refused(
    client: httpx.AsyncClient, body: bytes, status: int
) -> None:
    response = await client.post("/api/actions/apply", content=body, headers=JSON)

    assert response.status_code == status
    assert response.headers["content-type"] == MEDIA_TYPE


async def test_missing_schema_says_how_to_make_it(databases: Databases) -> None:
    name, url = databases.create_empty()
    app = App(url)
    async with dashboard(app, open_to_all="viewer") as board, client_of(board) as client:
        response = await client.get("/api/queues")
    await app.close_async()
    databases.drop(name)

    assert response.status_code == 503
    assert "forthwith migrate" in response.json()["detail"]


async def test_problems_have_one_shape(client: httpx.AsyncClient) -> None:
    responses = {
        400: await client.post("/api/actions/preview", content=b"{", headers=JSON),
        403: await client.post("/api/actions/preview", headers={"Sec-Fetch-Site": "cross-site"}),
        404: await client.get("/api/jobs/999999"),
        405: await client.put("/api/jobs/1"),
        413: await client.post("/api/actions/preview", content=b" " * 300_000),
        422: await client.post("/api/actions/preview", json={"action": "dance", "filter": {}}),
    }
    responses |= {1404: await client.get("/api/nowhere")}

    for status, response in responses.items():
        problem = response.json()
        assert response.status_code == problem["status"] == status % 1000
        assert response.headers["content-type"] == MEDIA_TYPE
        assert {"type", "title", "detail"} <= set(problem)


async def test_every_status_can_be_asked_for(client: httpx.AsyncClient) -> None:
    for status in STATUSES:
        assert await found(client, status=status) is not None


# -- doing ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        {"action": "retry"},
        {"action": "retry", "filter": {}},
        {"action": "retry", "filter": {}, "ids": [1], "expected_max": 1},
        {"action": "retry", "ids": []},
        {"action": "retry", "ids": [0]},
        {"action": "retry", "ids": ["1 or 1=1"]},
        {"action": "retry", "ids": list(range(1, 1002))},
        {"action": "retry", "ids": [1], "at": FAR.isoformat()},
        {"action": "reschedule", "ids": [1]},
        {"action": "retry", "filter": {}, "expected_max": 0},
        {"action": "retry", "filter": {"quene": "mail"}, "expected_max": 1},
    ],
)
async def test_unclear_deed_is_refused(client: httpx.AsyncClient, body: dict[str, Any]) -> None:
    response = await client.post("/api/actions/apply", json=body)

    assert response.status_code == 422
    assert response.json()["detail"]


async def test_queue_is_paused_and_resumed_whatever_its_name(client: httpx.AsyncClient) -> None:
    path = f"/api/queues/{quote(QUEUE, safe='')}"
    changes = [
        (await client.post(f"{path}/{deed}")).json()["changed"]
        for deed in ("pause", "pause", "resume", "resume")
    ]

    assert changes == [True, False, True, False]
