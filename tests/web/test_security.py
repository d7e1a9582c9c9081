"""Who comes in, by which name, from where, and what they may do; what every answer says to browsers."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

import pytest

from forthwith.errors import InvalidArgument
from forthwith.web import Credentials, Role, dashboard
from forthwith.web.headers import CONTENT_SECURITY_POLICY
from forthwith.web.sessions import COOKIE
from tests.web.conftest import HASH, HERE, client_of

if TYPE_CHECKING:
    from collections.abc import Callable

    import httpx

    import forthwith
    from forthwith.web.asgi import Dashboard

    Make = Callable[..., Dashboard]

USERS = f"ada operator {HASH}\ngrace viewer {HASH}"
LOGIN = {"name": "ada", "password": "correct horse"}
CROSS_SITE = {"Sec-Fetch-Site": "cross-site"}


@pytest.fixture
def database_url(module_database_url: str) -> str:
    """One database for all tests here: each has queues of its own, if any."""
    return module_database_url


@pytest.fixture
def logins(make_dashboard: Make) -> Dashboard:
    """A dashboard with logins."""
    return make_dashboard(credentials=Credentials.parse(USERS))


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"open_to_all": "operator", "authorize": lambda _: Role.VIEWER},
        {"open_to_all": "admin"},
        {"open_to_all": True},
        {"authorize": "ada"},
        {"credentials": "ada operator"},
        {"open_to_all": "viewer", "allowed_hosts": "localhost"},
        {"open_to_all": "viewer", "allowed_hosts": ["jobs:8090"]},
        {"open_to_all": "viewer", "allowed_hosts": ["http://jobs"]},
        {"open_to_all": "viewer", "secret": "short"},
        {"open_to_all": "viewer", "requests_max": 0},
        {"open_to_all": "viewer", "session_s": -1},
    ],
)
def test_settings_that_say_nothing_clear_are_refused(
    app: forthwith.App, settings: dict[str, Any]
) -> None:
    with pytest.raises(InvalidArgument):
        dashboard(app, **settings)


def test_nobody_is_let_in_by_default(app: forthwith.App) -> None:
    with pytest.raises(InvalidArgument, match="say who may see the dashboard"):
        dashboard(app)


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example:8090", ""])
async def test_strange_host_is_refused(client: httpx.AsyncClient, host: str) -> None:
    for path in ("/api/overview", "/", "/static/x.js", "/login"):
        response = await client.get(path, headers={"Host": host})
        assert response.status_code == 400
        assert "not known under the name" in response.text


async def test_allowed_host_is_answered(make_dashboard: Make) -> None:
    board = make_dashboard(open_to_all="viewer", allowed_hosts=["jobs.internal"])
    async with client_of(board) as client:
        allowed = await client.get("/api/queues", headers={"Host": "jobs.internal:81"})
        other = await client.get("/api/queues", headers={"Host": "localhost"})

    assert (allowed.status_code, other.status_code) == (200, 400)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        CROSS_SITE,
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://localhost:8091"},
    ],
)
async def test_deed_from_another_site_is_refused(
    client: httpx.AsyncClient, headers: dict[str, str]
) -> None:
    del client.headers["Sec-Fetch-Site"]
    for method, path in (
        ("POST", "/api/queues/refused/pause"),
        ("DELETE", "/api/jobs/1"),
        ("PUT", "/x"),
        ("POST", "/logout"),
    ):
        response = await client.request(method, path, headers=headers)
        assert response.status_code == 403
    queues = await client.get("/api/queues", headers=CROSS_SITE)
    assert "refused" not in {queue["name"] for queue in queues.json()}


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "same-origin"},
        {"Sec-Fetch-Site": "none"},
        {"Origin": "http://localhost:8090"},
    ],
)
async def test_deed_from_the_dashboard_itself_is_done(
    client: httpx.AsyncClient, headers: dict[str, str]
) -> None:
    del client.headers["Sec-Fetch-Site"]
    [by] = headers

    response = await client.post(f"/api/queues/{by}-{len(headers[by])}/pause", headers=headers)

    assert response.json() == {"changed": True}


async def test_viewer_looks_and_does_nothing(make_dashboard: Make) -> None:
    async with client_of(make_dashboard(open_to_all="viewer")) as client:
        looked = await client.get("/api/overview")
        deeds = [
            await client.post("/api/queues/mail/pause"),
            await client.delete("/api/jobs/1"),
            await client.post("/api/actions/preview", json={"action": "retry", "filter": {}}),
            await client.post("/nowhere"),
        ]

    assert looked.status_code == 200
    assert [deed.status_code for deed in deeds] == [403] * 4
    assert deeds[0].json()["detail"] == "This needs the role operator; you are a viewer."


@pytest.mark.parametrize(
    "path", ["/api/overview", "/api/nowhere", "/login", "/nowhere", "/api/openapi.json"]
)
async def test_every_answer_tells_browsers_what_they_may_do(
    client: httpx.AsyncClient, path: str
) -> None:
    response = await client.get(path)

    assert response.headers["content-security-policy"] == CONTENT_SECURITY_POLICY
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["referrer-policy"] == "same-origin"
    assert response.headers["cache-control"] == "no-store"
    assert "access-control-allow-origin" not in response.headers
    assert "unsafe" not in CONTENT_SECURITY_POLICY


async def test_refusals_too_tell_browsers_what_they_may_do(client: httpx.AsyncClient) -> None:
    strange = await client.get("/", headers={"Host": "evil.example"})
    unexpected = await client.request("BREW", "/api/jobs", content=b"x" * 300_000)

    for response in (strange, unexpected):
        assert response.status_code >= 400
        assert response.headers["content-security-policy"] == CONTENT_SECURITY_POLICY


async def test_stranger_is_led_to_the_login_and_back(logins: Dashboard) -> None:
    async with client_of(logins) as client:
        refused = await client.get("/jobs?queue=a&text=%2F%2F")
        assert refused.status_code == 303
        assert refused.headers["location"] == "/login?next=%2Fjobs%3Fqueue%3Da%26text%3D%252F%252F"
        form = await client.get(refused.headers["location"])
        assert 'type="password"' in form.text

        accepted = await client.post("/login", data={**LOGIN, "next": "/jobs?queue=a"})

        assert accepted.status_code == 303
        assert accepted.headers["location"] == "/jobs?queue=a"
        assert (await client.get("/api/overview")).status_code == 200
        await client.post("/logout")
        assert (await client.get("/api/overview")).status_code == 401


async def test_programs_without_login_are_told_so(logins: Dashboard) -> None:
    async with client_of(logins) as client:
        for path in ("/api/overview", "/events", "/metrics", "/api/openapi.json"):
            response = await client.get(path)
            assert response.status_code == 401
            assert response.headers["content-type"] == "application/problem+json"
        assert (await client.post("/api/queues/mail/pause")).status_code == 401


async def test_session_cookie_comes_with_links_from_elsewhere_and_nothing_else(
    logins: Dashboard,
) -> None:
    async with client_of(logins) as plain, client_of(logins, base_url="https://jobs") as tls:
        cookies = [
            (await client.post("/login", data=LOGIN)).headers["set-cookie"]
            for client in (plain, tls)
        ]

    for cookie in cookies:
        assert cookie.startswith(f"{COOKIE}=")
        assert {"HttpOnly", "SameSite=lax", "Path=/", "Max-Age=43200"} <= set(cookie.split("; "))
    assert "Secure" not in cookies[0]
    assert "Secure" in cookies[1].split("; ")


@pytest.mark.parametrize(
    "form",
    [
        {"password": "wrong horse"},
        {"password": ""},
        {"name": "nobody"},
        {"name": "' or 1=1 --"},
        {"name": "<script>alert(1)</script>"},
        {"password": "é\x00" * 10},
    ],
)
async def test_wrong_login_is_refused_in_the_same_words(
    logins: Dashboard, form: dict[str, str]
) -> None:
    async with client_of(logins) as client:
        response = await client.post("/login", data={**LOGIN, **form})

        assert response.status_code == 401
        assert "Wrong name or password." in response.text
        assert "<script>alert" not in response.text
        assert COOKIE not in response.cookies
        assert (await client.get("/api/overview")).status_code == 401


async def test_login_page_is_safe_against_its_address(logins: Dashboard) -> None:
    async with client_of(logins) as client:
        hostile = '/"><script>alert(1)</script>'
        response = await client.get("/login", params={"next": hostile})
        away = await client.post("/login", data={**LOGIN, "next": "//evil.example/"})

    assert "<script>alert" not in response.text
    assert away.headers["location"] == "/"


async def test_guessing_is_slowed_down(logins: Dashboard) -> None:
    async with client_of(logins) as client:
        guesses = [
            await client.post("/login", data={"name": f"n{number}", "password": "x"})
            for number in range(12)
        ]
        right = await client.post("/login", data=LOGIN)
        basic = await client.get("/api/overview", auth=("ada", "correct horse"))

    assert [guess.status_code for guess in guesses] == [401] * 10 + [429] * 2
    assert right.status_code == basic.status_code == 429
    assert 0 < int(right.headers["retry-after"]) <= 60


async def test_guesses_at_the_same_time_count_too(logins: Dashboard) -> None:
    async with client_of(logins) as client:
        guesses = await asyncio.gather(
            *(client.post("/login", data={"name": "ada", "password": "x"}) for _ in range(20))
        )

    assert sorted(guess.status_code for guess in guesses) == [401] * 10 + [429] * 10


async def test_roles_of_logins_hold(logins: Dashboard) -> None:
    async with client_of(logins) as ada, client_of(logins) as grace:
        await ada.post("/login", data=LOGIN)
        await grace.post("/login", data={**LOGIN, "name": "grace"})
        assert (await ada.post("/api/queues/roles/pause")).status_code == 200
        assert (await grace.post("/api/queues/roles/resume")).status_code == 403
        queues = {queue["name"]: queue for queue in (await grace.get("/api/queues")).json()}
        assert queues["roles"]["paused_at"] is not None


async def test_program_brings_name_and_password(logins: Dashboard) -> None:
    async with client_of(logins) as client:
        del client.headers["Sec-Fetch-Site"]
        for _ in range(15):
            response = await client.get("/api/overview", auth=("ada", "correct horse"))
            assert response.status_code == 200
        done = await client.post("/api/queues/mail/pause", auth=("ada", "correct horse"))
        forged = await client.post(
            "/api/queues/mail/resume", auth=("ada", "correct horse"), headers=CROSS_SITE
        )
        wrong = await client.get("/api/overview", auth=("ada", "wrong horse"))

    assert (done.status_code, forged.status_code, wrong.status_code) == (200, 403, 401)


async def test_host_application_decides(make_dashboard: Make) -> None:
    async def who(request: Any) -> Role | None:
        await asyncio.sleep(0)
        return {"a": Role.OPERATOR, "v": Role.VIEWER}.get(request.headers.get("x-user", ""))

    board = make_dashboard(authorize=who, login_url="https://sso.example/login")
    async with client_of(board) as client:
        statuses = [
            (await client.post("/api/queues/q/pause", headers={"X-User": user})).status_code
            for user in ("a", "v", "nobody")
        ]
        page = await client.get("/jobs")
        own_login = await client.get("/login")

    assert statuses == [200, 403, 401]
    assert (page.status_code, page.headers["location"]) == (303, "https://sso.example/login")
    assert own_login.status_code == 404


async def test_host_applications_failure_lets_nobody_in(
    make_dashboard: Make, caplog: pytest.LogCaptureFixture
) -> None:
    def who(_: Any) -> Role:
        raise RuntimeError("hunter2 is not a user")

    async with client_of(make_dashboard(authorize=who)) as client:
        response = await client.get("/api/overview")

    assert response.status_code == 500
    assert "hunter2" not in response.text
    assert "RuntimeError in GET /api/overview" in caplog.text
    assert "hunter2 is not a user" not in "".join(r.getMessage() for r in caplog.records).replace(
        'raise RuntimeError("hunter2 is not a user")', ""
    )


async def test_large_body_is_refused(client: httpx.AsyncClient) -> None:
    response = await client.post("/api/actions/preview", content=b" " * 262_145)

    assert response.status_code == 413
    assert response.headers["content-type"] == "application/problem+json"


async def test_too_many_requests_at_once_are_told_to_come_again(make_dashboard: Make) -> None:
    board = make_dashboard(open_to_all="viewer", requests_max=2)
    going_on, release = asyncio.Semaphore(0), asyncio.Event()

    async def slow() -> list[Any]:
        going_on.release()
        await release.wait()
        return []

    board.desk.workers = slow  # type: ignore[method-assign]
    async with client_of(board) as client:
        async with asyncio.TaskGroup() as group:
            two = [group.create_task(client.get("/api/workers")) for _ in range(2)]
            for _ in two:
                await going_on.acquire()
            third = await client.get("/api/workers")
            release.set()
        after = await client.get("/api/workers")

    assert third.status_code == 503
    assert third.headers["retry-after"] == "1"
    assert [task.result().status_code for task in two] == [200, 200]
    assert after.status_code == 200


async def test_log_has_no_queries(
    client: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG, logger="forthwith"):
        await client.get("/api/jobs?text=hunter2")
        await client.get("/api/jobs?text=hunter2&limit=hunter2")
        await client.post("/api/actions/preview?x=hunter2", content=b'{"filter": "hunter2"}')

    ours = [record.getMessage() for record in caplog.records if record.name.startswith("forthwith")]
    assert any(line.startswith("GET /api/jobs 200") for line in ours)
    assert not any("hunter2" in line for line in ours)


async def test_guard_comes_before_the_routes(logins: Dashboard) -> None:
    """No route of the dashboard answers a stranger, but for those that are meant to."""
    public = {"/login", "/logout", "/health/live", "/health/ready"}
    async with client_of(logins, headers=HERE) as client:
        for route in logins.routes.openapi()["paths"]:
            path = route.replace("{job_id}", "1").replace("{queue}", "q")
            for method in ("GET", "POST", "DELETE"):
                response = await client.request(method, path)
                assert response.status_code == 401 or route in public, (method, path)
