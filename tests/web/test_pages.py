"""The pages show what is there, whatever is in its names, and their forms do what they say."""

from __future__ import annotations

import time
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import pytest

from forthwith.visible import visible
from forthwith.web.notices import Notices
from forthwith.web.pages import names
from tests.store.conftest import make_worker, worker
from tests.web.conftest import HASH, client_of
from tests.web.populated import FAR, HOSTILE, LOCK, QUEUE, SECRET, TASK, app_of, populate

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    import httpx
    import psycopg

    import forthwith
    from forthwith.web.asgi import Dashboard
    from tests.store.virtual_worker import VirtualWorker

__all__ = ["make_worker", "worker"]  # fixtures of the tests of the SQL
PATHS = (
    "/",
    "/jobs",
    "/jobs?status=failed",
    "/jobs?text=ada",
    "/queues",
    f"/queues?{urlencode({'queue': QUEUE})}",
    "/tasks",
    "/periodic",
    "/locks",
    "/workers",
    "/health",
    "/actions?action=retry&status=failed",
)


ENDS_A_PARAGRAPH = {"details", "div", "dl", "form", "h2", "ol", "pre", "section", "table", "ul"}
"""A browser closes a paragraph in which one of these is written, and puts it elsewhere than it stands."""


class Reader(HTMLParser):
    """Reads what a browser would: elements with their attributes, and the text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.misplaced: list[str] = []
        self._is_in_paragraph = False
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag == "p":
            self._is_in_paragraph = True
        elif self._is_in_paragraph and tag in ENDS_A_PARAGRAPH:
            self.misplaced.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag == "p":
            self._is_in_paragraph = False

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        """Return the attributes of all elements of a kind."""
        return [attributes for name, attributes in self.elements if name == tag]

    def fields(self, action: str) -> dict[str, str]:
        """Return the hidden fields of the first form that goes there."""
        place = next(
            index
            for index, (tag, attributes) in enumerate(self.elements)
            if tag == "form" and attributes.get("action") == action
        )
        fields = {}
        for tag, attributes in self.elements[place + 1 :]:
            if tag == "form":
                break
            if tag == "input":
                fields[str(attributes["name"])] = attributes.get("value") or ""
        return fields


@pytest.fixture
async def app(database_url: str) -> AsyncIterator[forthwith.App]:
    app = app_of(database_url)
    async with app.open_async():
        yield app


@pytest.fixture(autouse=True)
async def ids(app: forthwith.App) -> dict[str, int]:
    return await populate(app)


async def read(client: httpx.AsyncClient, path: str) -> Reader:
    """Return a page, which must be there."""
    response = await client.get(path)
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    page = Reader(response.text)
    assert page.misplaced == []
    return page


async def post(client: httpx.AsyncClient, path: str, **fields: Any) -> Reader:
    """Send a form; return the page that it leads to."""
    response = await client.post(path, data=fields)
    assert response.status_code == 303, response.text
    return await read(client, response.headers["location"])


async def status(client: httpx.AsyncClient, job_id: int) -> str:
    """Return a job's status, by the API."""
    return str((await client.get(f"/api/jobs/{job_id}")).json()["job"]["status"])


async def test_no_page_lets_anything_of_a_jobs_run_or_shows_a_secret(
    client: httpx.AsyncClient, ids: dict[str, int]
) -> None:
    for path in (*PATHS, *(f"/jobs/{job_id}" for job_id in ids.values())):
        page = await read(client, path)
        sources = [script.get("src") or "inline" for script in page.all("script")]
        assert all(source.startswith("/static/") for source in sources), path
        attributes = {name for _, given in page.elements for name in given}
        assert not any(name.startswith(("on", "hx-on", "data-hx-on")) for name in attributes), path
        assert not any("style" in given for _, given in page.elements), path
        assert SECRET not in page.text, path
        assert "\N{RIGHT-TO-LEFT OVERRIDE}" not in page.text, path
        assert "\x1b" not in page.text, path


async def test_names_are_shown_with_what_could_deceive_as_escapes(
    client: httpx.AsyncClient, ids: dict[str, int]
) -> None:
    assert visible(TASK) in (await read(client, "/tasks")).text
    assert visible(QUEUE) in (await read(client, "/queues")).text
    assert visible(LOCK) in (await read(client, "/locks")).text
    job = await read(client, f"/jobs/{ids['failed']}")
    assert f"cannot: {visible(HOSTILE)}" in job.text
    assert "Traceback (most recent call last):\n  File" in job.text
    assert visible(TASK) in job.text
    assert '"to": "<script>' in job.text
    blocked = await read(client, f"/jobs/{ids['blocked']}")
    assert "Why it does not run yet" in blocked.text
    assert "no worker listens to queue" in blocked.text


async def test_jobs_are_filtered_and_paged(
    client: httpx.AsyncClient, ids: dict[str, int], app: forthwith.App
) -> None:
    def shown(page: Reader) -> set[str]:
        links = {str(link.get("href")) for link in page.all("a")}
        return {link.removeprefix("/jobs/") for link in links if link.startswith("/jobs/")}

    page = await read(client, f"/jobs?{urlencode({'queue': QUEUE, 'status': 'failed'})}")
    assert shown(page) == {str(ids["failed"])}
    [charts] = {str(link["href"]) for link in page.all("a") if "/queues?" in str(link.get("href"))}
    assert f"Queue {visible(QUEUE)}" in (await read(client, charts)).text
    assert shown(await read(client, "/jobs?status=&queue=&text=grace")) == {str(ids["cancelled"])}
    assert "No job fits" in (await read(client, "/jobs?queue=nobody")).text
    overview = await read(client, "/")
    [failures] = {
        str(link["href"]) for link in overview.all("a") if "ended_after=" in str(link.get("href"))
    }
    assert shown(await read(client, failures)) == {str(ids["failed"])}
    await app.tasks["fine"].batch_defer_async(*({"to": str(n)} for n in range(60)))
    first = await read(client, "/jobs?queue=fine&status=ready")
    [older] = [link["href"] for link in first.all("a") if link.get("rel") == "next"]
    second = await read(client, str(older))
    assert (len(shown(first)), len(shown(second))) == (50, 10)
    assert not shown(first) & shown(second)


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("status=odd", "status"),
        ("worker_id=x", "worker_id"),
        ("deferred_after=soon", "deferred_after"),
    ],
)
async def test_bad_filter_is_told(client: httpx.AsyncClient, query: str, named: str) -> None:
    response = await client.get(f"/jobs?{query}")
    assert response.status_code == 422
    assert named in Reader(response.text).text


@pytest.mark.parametrize("query", ["id=x", "id=0", f"id={2**63}", "&".join(["id=1"] * 1001)])
async def test_bad_choice_is_told(client: httpx.AsyncClient, query: str) -> None:
    response = await client.get(f"/actions?action=retry&{query}")
    assert response.status_code == 422
    assert "id" in Reader(response.text).text


async def test_unknown_job_and_page_are_told(client: httpx.AsyncClient) -> None:
    for path in ("/jobs/999999", "/nowhere", "/jobs/none"):
        response = await client.get(path)
        assert response.status_code in (404, 422)
        assert Reader(response.text).all("main"), path


async def test_one_job_is_steered(client: httpx.AsyncClient, ids: dict[str, int]) -> None:
    page = await post(client, f"/jobs/{ids['failed']}/retry")
    assert "1 job run again." in page.text
    assert await status(client, ids["failed"]) == "todo"
    await post(client, f"/jobs/{ids['blocked']}/cancel")
    assert await status(client, ids["blocked"]) == "cancelled"
    page = await post(client, f"/jobs/{ids['blocked']}/abort")
    assert "left alone (finished)" in page.text
    due = "2031-01-31T09:00"
    await post(client, f"/jobs/{ids['scheduled']}/reschedule", at=due)
    job = (await client.get(f"/api/jobs/{ids['scheduled']}")).json()["job"]
    assert job["scheduled_at"].startswith("2031-01-31T09:00:00")
    page = await post(client, f"/jobs/{ids['succeeded']}/delete")
    assert f"Job {ids['succeeded']} is deleted." in page.text
    assert (await client.get(f"/jobs/{ids['succeeded']}")).status_code == 404


async def test_many_jobs_are_steered_as_the_preview_says(
    client: httpx.AsyncClient, ids: dict[str, int]
) -> None:
    asked = urlencode({"action": "cancel", "queue": QUEUE})
    preview = await read(client, f"/actions?{asked}")
    assert "2 of them would be cancelled" in " ".join(preview.text.split())
    fields = preview.fields("/actions")
    assert fields["expected_max"] == "2"
    page = await post(client, "/actions", **fields)
    assert "2 jobs cancelled." in page.text
    assert await status(client, ids["ready"]) == "cancelled"
    assert await status(client, ids["scheduled"]) == "todo"  # of another queue


async def test_worker_leads_to_what_it_runs(
    client: httpx.AsyncClient,
    ids: dict[str, int],
    worker: VirtualWorker,
    connection: psycopg.AsyncConnection[Any],
) -> None:
    [claimed] = await worker.claim(1)
    await connection.execute("update forthwith.worker set running = 1")
    for path in ("/", "/workers"):
        page = await read(client, path)
        [running] = {
            str(link["href"]) for link in page.all("a") if "worker_id=" in str(link.get("href"))
        }
        jobs = await read(client, running)
        assert f"/jobs/{claimed.id}" in {link.get("href") for link in jobs.all("a")}
        assert f"/jobs/{ids['succeeded']}" not in {link.get("href") for link in jobs.all("a")}
        assert "Worker" in jobs.text


async def test_preview_keeps_a_text_that_is_looked_for_as_it_is(
    client: httpx.AsyncClient, app: forthwith.App
) -> None:
    odd = "a\N{RIGHT-TO-LEFT OVERRIDE}b"
    job_id = await app.tasks["fine"].defer_async(to=odd)
    await app.tasks["fine"].defer_async(to="other")
    preview = await read(client, f"/actions?{urlencode({'action': 'cancel', 'text': odd})}")
    assert preview.fields("/actions")["text"] == odd
    assert "1 job cancelled." in (await post(client, "/actions", **preview.fields("/actions"))).text
    assert await status(client, job_id) == "cancelled"


async def test_queues_are_paused_and_resumed(client: httpx.AsyncClient, app: forthwith.App) -> None:
    page = await read(client, "/queues")
    page = await post(client, "/queues/pause", **page.fields("/queues/pause"))
    [paused] = await app.paused_queues_async()
    assert f"{visible(paused)} is paused." in page.text
    page = await post(client, "/queues/resume", **page.fields("/queues/resume"))
    assert f"{visible(paused)} goes on." in page.text
    assert await app.paused_queues_async() == {}


async def test_periodic_tasks_are_run_paused_and_resumed(client: httpx.AsyncClient) -> None:
    page = await read(client, "/periodic")
    task = page.fields("/periodic/run")
    assert task["task"] == "yearly"
    assert names.read(task["periodic_id"]) == f"id {HOSTILE}"
    assert "runs as job" in (await post(client, "/periodic/run", **task)).text
    assert "yearly is paused." in (await post(client, "/periodic/pause", **task)).text
    assert "yearly goes on." in (await post(client, "/periodic/resume", **task)).text
    assert (await client.post("/periodic/drop", data=task)).status_code == 422


async def test_what_has_come_of_a_form_is_told_once(client: httpx.AsyncClient) -> None:
    done = await client.post("/queues/pause", data={"queue": "fine"})
    assert done.headers["location"] == "/queues"
    cookie = done.headers["set-cookie"].lower()
    assert "; httponly" in cookie
    assert "; samesite=strict" in cookie
    assert int(cookie.split("max-age=")[1].split(";")[0]) <= 60
    refreshes: tuple[dict[str, str], ...] = (
        {"HX-Request": "true"},
        {"Sec-Fetch-Mode": "cors"},
        {"Sec-Fetch-Mode": "navigate", "Sec-Purpose": "prefetch"},
    )
    for headers in refreshes:  # none of which shows it to anybody
        refreshed = await client.get("/queues", headers=headers)
        assert "fine is paused." not in refreshed.text
    assert "fine is paused." not in (await read(client, "/jobs")).text  # in another tab
    opened = await client.get("/queues", headers={"Sec-Fetch-Mode": "navigate"})
    assert "fine is paused." in opened.text
    assert "fine is paused." not in (await read(client, "/queues")).text


async def test_nobody_else_can_have_a_page_say_something(client: httpx.AsyncClient) -> None:
    false = "Your database was deleted. Call 555-0100."
    assert false not in (await read(client, f"/queues?{urlencode({'said': false})}")).text
    signed = Notices("another secret, as long as it takes")._signer.dumps(["/queues", false])
    for cookie in (false, signed, "x" * 5000, "", "a.b.c"):
        client.cookies.set("forthwith_notice", str(cookie))
        assert false not in (await read(client, "/queues")).text


async def test_notice_is_over_after_a_minute(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    await client.post("/queues/pause", data={"queue": "fine"})
    now_s = time.time()
    monkeypatch.setattr("itsdangerous.timed.time.time", lambda: now_s + 62)
    assert "fine is paused." not in (await read(client, "/queues")).text
    monkeypatch.setattr("itsdangerous.timed.time.time", lambda: now_s)
    assert "fine is paused." in (await read(client, "/queues")).text


async def test_notice_fits_a_cookie_and_the_place_where_it_is_mounted(
    make_dashboard: Callable[..., Dashboard],
) -> None:
    from starlette.applications import Starlette
    from starlette.routing import Mount

    name = "\N{PARTY POPPER}" * 128
    site = Starlette(routes=[Mount("/ops", make_dashboard(open_to_all="operator"))])
    async with client_of(site) as client:
        done = await client.post("/ops/queues/pause", data={"queue": name})
        assert done.headers["location"] == "/ops/queues"
        assert "; Path=/ops;" in done.headers["set-cookie"]
        assert len(done.headers["set-cookie"]) < 4096
        assert f"{name} is paused." in (await read(client, "/ops/queues")).text
        assert f"{name} is paused." not in (await read(client, "/ops/queues")).text


async def test_viewers_are_shown_nothing_to_do(make_dashboard: Callable[..., Dashboard]) -> None:
    async with client_of(make_dashboard(open_to_all="viewer")) as client:
        for path in PATHS:
            forms = (await read(client, path)).all("form")
            assert {form.get("method") for form in forms} <= {"get"}, path
        assert (await client.post("/queues/pause", data={"queue": "fine"})).status_code == 403


async def test_login_leads_to_the_page_that_was_wanted(
    make_dashboard: Callable[..., Dashboard],
) -> None:
    from forthwith.web import Credentials

    credentials = Credentials.parse(f"ada viewer {HASH}", source="test")
    async with client_of(make_dashboard(credentials=credentials)) as client:
        away = await client.get("/jobs?status=failed")
        assert away.status_code == 303
        form = await read(client, away.headers["location"])
        assert form.fields("/login")["next"] == "/jobs?status=failed"
        wrong = await client.post("/login", data={"name": "ada", "password": "no", "next": "/jobs"})
        assert "Wrong name or password" in Reader(wrong.text).text
        fields = {**form.fields("/login"), "name": "ada", "password": "correct horse"}
        page = await post(client, "/login", **fields)
        assert "ada (viewer)" in page.text


async def test_links_stay_below_the_place_where_it_is_mounted(
    make_dashboard: Callable[..., Dashboard], ids: dict[str, int]
) -> None:
    from starlette.applications import Starlette
    from starlette.routing import Mount

    site = Starlette(routes=[Mount("/ops", make_dashboard(open_to_all="operator"))])
    async with client_of(site) as client:
        for path in (*PATHS, f"/jobs/{ids['failed']}"):
            page = await read(client, f"/ops{path}")
            links = [*page.all("a"), *(each for each in page.all("link") if each["rel"] != "icon")]
            addresses = [link.get("href") for link in links]
            addresses += [form.get("action") for form in page.all("form")]
            addresses += [script.get("src") for script in page.all("script")]
            assert all(str(each).startswith(("/ops/", "#")) for each in addresses), path
        assert (await client.get("/ops/static/style.css")).status_code == 200


async def test_times_are_ages_with_the_exact_time_beside(
    client: httpx.AsyncClient, ids: dict[str, int]
) -> None:
    page = await read(client, f"/jobs/{ids['scheduled']}")
    due = (FAR.isoformat(), "2100-01-01 00:00:00.000 UTC")
    assert due in {(time["datetime"], time["title"]) for time in page.all("time")}
    listed = await read(client, "/jobs?status=scheduled")
    assert due in {(time["datetime"], time["title"]) for time in listed.all("time")}
