"""The pages in a real browser: forms are clicked through, pages stay fresh, and nothing of a job's runs."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from playwright.async_api import Page, async_playwright, expect

from tests.store.conftest import make_worker, worker
from tests.support.waiting import wait_until
from tests.web.own_process import serving
from tests.web.populated import HOSTILE, TASK, app_of, populate
from tools.browser import find as find_browser

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

    import forthwith
    from tests.store.virtual_worker import VirtualWorker

__all__ = ["make_worker", "worker"]  # fixtures of the tests of the SQL
CHROMIUM = find_browser()
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
PATIENCE_MS = 30_000
# Told of news until something is about to ask for the page, while the pointer moves where it is, or rests.
IS_REFRESH_REFUSED = """(pointer) => new Promise((resolve) => {
  const state = document.querySelector("[data-live-state]");
  const telling = setInterval(() => {
    if (pointer === "moves") dispatchEvent(new Event("pointermove"));
    state.dispatchEvent(new Event("news"));
  }, 50);
  state.addEventListener("htmx:before:request", (event) => {
    clearInterval(telling);
    resolve(event.defaultPrevented);
  }, { once: true });
})"""
pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="no Chromium: `python -m tools.browser` says why"
)


@pytest.fixture
async def app(database_url: str) -> AsyncIterator[forthwith.App]:
    app = app_of(database_url)
    async with app.open_async():
        yield app


@pytest.fixture(autouse=True)
async def ids(app: forthwith.App) -> dict[str, int]:
    return await populate(app)


@pytest.fixture
def url(database_url: str, tmp_path: Path) -> Iterator[str]:
    """The address of a dashboard on the test's database."""
    with serving(database_url, tmp_path) as dashboard:
        yield dashboard.url


@pytest.fixture
async def open_page(url: str) -> AsyncIterator[Callable[..., object]]:
    """Open the dashboard in a browser: `await open_page(javascript=False, ...)`. Nothing may complain."""
    complaints: list[str] = []
    async with async_playwright() as driver:
        assert CHROMIUM is not None
        path, environment = CHROMIUM
        browser = await driver.chromium.launch(
            executable_path=path, env=dict(environment), args=[*FLAGS]
        )

        async def open_page(*, javascript: bool = True, **options: object) -> Page:
            context = await browser.new_context(
                base_url=url,
                java_script_enabled=javascript,
                **options,  # type: ignore[arg-type]
            )
            context.set_default_timeout(PATIENCE_MS)
            page = await context.new_page()
            page.on("console", lambda message: complaints.append(message.text))
            page.on("pageerror", lambda error: complaints.append(str(error)))
            page.on("dialog", lambda dialog: complaints.append(dialog.message))
            page.on("request", lambda request: _note_stranger(request.url, url, complaints))
            return page

        yield open_page
        await browser.close()
    assert complaints == []  # such as a script that the policy has refused


def _note_stranger(asked: str, url: str, complaints: list[str]) -> None:
    if not asked.startswith((f"{url}/", "data:,")):
        complaints.append(f"asked {asked}")


expect.set_options(timeout=PATIENCE_MS)


@pytest.mark.parametrize("javascript", [True, False])
async def test_jobs_are_filtered_retried_and_cancelled_by_hand(
    open_page: Callable[..., object], ids: dict[str, int], *, javascript: bool
) -> None:
    page = await open_page(javascript=javascript)  # type: ignore[misc]
    await page.goto("/jobs")
    await page.get_by_label("State").select_option("failed")
    await page.get_by_role("button", name="Filter").click()
    await page.get_by_role("link", name=str(ids["failed"]), exact=True).click()
    await expect(page.get_by_role("heading", level=1)).to_contain_text("failed")
    await expect(page.get_by_text("Traceback (most recent call last)")).to_be_visible()
    await page.get_by_role("button", name="Retry").click()
    await expect(page.get_by_role("status").first).to_contain_text("1 job run again")
    await page.get_by_role("button", name="Cancel").click()
    await expect(page.get_by_role("heading", level=1)).to_contain_text("cancelled")


@pytest.mark.parametrize("javascript", [True, False])
async def test_queue_is_paused_and_many_jobs_cancelled_by_hand(
    open_page: Callable[..., object], *, javascript: bool
) -> None:
    page = await open_page(javascript=javascript)  # type: ignore[misc]
    await page.goto("/queues")
    await page.get_by_role("button", name="Pause fine").click()
    await expect(page.get_by_text("fine is paused.")).to_be_visible()
    await page.get_by_role("button", name="Resume fine").click()
    await expect(page.get_by_text("fine goes on.")).to_be_visible()
    await page.goto("/jobs?queue=fine")
    await page.get_by_label("Action").select_option("cancel")
    await page.get_by_role("button", name="Show what it would touch").click()
    await expect(page.get_by_text("of them would be cancelled")).to_be_visible()
    await page.get_by_role("button", name="Cancel them").click()
    await expect(page.get_by_text("1 job cancelled.")).to_be_visible()


@pytest.mark.parametrize("javascript", [True, False])
async def test_jobs_are_chosen_and_cancelled_by_hand(
    open_page: Callable[..., object],
    app: forthwith.App,
    ids: dict[str, int],
    *,
    javascript: bool,
) -> None:
    kept = await app.tasks["fine"].defer_async()
    page = await open_page(javascript=javascript)  # type: ignore[misc]
    await page.goto("/jobs")
    for name in ("scheduled", "ready", "failed"):
        await page.get_by_label(f"Choose job {ids[name]}", exact=True).check()
    await page.get_by_label("Action").select_option("cancel")
    if javascript:
        assert await page.evaluate(IS_REFRESH_REFUSED, "rests")  # what is chosen stays so
    await page.get_by_role("button", name="Show what it would touch").click()
    await expect(page.get_by_text("3 jobs that you chose.")).to_be_visible()
    await expect(page.get_by_text("2 of them would be cancelled.")).to_be_visible()
    await expect(page.get_by_text("1 left alone: finished")).to_be_visible()
    await page.get_by_role("button", name="Cancel them").click()
    await expect(page.get_by_text("2 jobs cancelled.")).to_be_visible()
    await expect(page.locator(f"#job-{ids['ready']}")).to_contain_text("cancelled")
    await expect(page.locator(f"#job-{kept}")).to_contain_text("ready")


@pytest.mark.parametrize("javascript", [True, False])
async def test_jobs_are_rescheduled_by_hand_to_a_time_that_is_asked_for(
    open_page: Callable[..., object], ids: dict[str, int], *, javascript: bool
) -> None:
    page = await open_page(javascript=javascript)  # type: ignore[misc]
    await page.goto("/jobs?queue=fine")
    await page.get_by_label("Action").select_option("reschedule")
    await page.get_by_role("button", name="Show what it would touch").click()
    await expect(page.get_by_text("of them would be rescheduled")).to_be_visible()
    await page.get_by_label("New due time").fill("2101-02-03T04:05")
    await page.get_by_role("button", name="Reschedule them").click()
    await expect(page.get_by_text("1 job rescheduled.")).to_be_visible()
    await page.goto(f"/jobs/{ids['scheduled']}")
    await expect(page.get_by_text("due at 2101-02-03 04:05:00 UTC")).to_be_visible()


@pytest.mark.parametrize("javascript", [True, False])
async def test_job_is_deleted_by_hand_by_whoever_is_sure(
    open_page: Callable[..., object], ids: dict[str, int], *, javascript: bool
) -> None:
    page = await open_page(javascript=javascript)  # type: ignore[misc]
    await page.goto(f"/jobs/{ids['failed']}")
    sure = page.get_by_role("button", name="Delete for good")
    await expect(sure).to_be_hidden()
    await page.get_by_text("Delete…").click()
    await sure.click()
    await expect(page.get_by_text(f"Job {ids['failed']} is deleted.")).to_be_visible()


async def test_what_can_be_done_to_a_job_follows_what_becomes_of_it(
    open_page: Callable[..., object], app: forthwith.App, ids: dict[str, int]
) -> None:
    page = await open_page()  # type: ignore[misc]
    await page.goto(f"/jobs/{ids['scheduled']}")
    await expect(page.get_by_role("button", name="Cancel")).to_be_visible()
    await app.job_manager.cancel_job_by_id_async(ids["scheduled"])
    await expect(page.get_by_role("button", name="Retry")).to_be_visible()
    await expect(page.get_by_role("button", name="Cancel")).to_have_count(0)


async def test_nothing_moves_below_a_pointer_that_has_come_to_a_button(
    open_page: Callable[..., object],
) -> None:
    page = await open_page()  # type: ignore[misc]
    await page.clock.install()
    await page.goto("/queues")
    await page.get_by_role("button", name="Pause fine").hover()
    assert await page.evaluate(IS_REFRESH_REFUSED, "moves")
    await page.clock.fast_forward(10_000)
    assert not await page.evaluate(IS_REFRESH_REFUSED, "rests there")
    await page.mouse.move(0, 0)
    assert not await page.evaluate(IS_REFRESH_REFUSED, "moves")


async def test_page_that_waits_while_something_is_chosen_says_how_old_it_is(
    open_page: Callable[..., object], ids: dict[str, int]
) -> None:
    page = await open_page()  # type: ignore[misc]
    await page.clock.install()
    await page.goto("/jobs")
    choice = page.get_by_label(f"Choose job {ids['ready']}", exact=True)
    await choice.check()
    waits = page.get_by_text("Live updates wait while you choose, type or select here.")
    assert await page.evaluate(IS_REFRESH_REFUSED, "rests")
    await expect(waits).to_be_hidden()
    await page.clock.fast_forward(40_000)
    assert await page.evaluate(IS_REFRESH_REFUSED, "rests")
    await expect(waits).to_be_visible()
    await choice.uncheck()
    await page.get_by_role("heading", level=1).click()
    assert not await page.evaluate(IS_REFRESH_REFUSED, "rests")
    await expect(waits).to_be_hidden()


async def test_job_leads_to_the_one_that_it_waits_for(
    open_page: Callable[..., object], ids: dict[str, int], worker: VirtualWorker
) -> None:
    await worker.look()
    page = await open_page()  # type: ignore[misc]
    await page.goto(f"/jobs/{ids['blocked']}")
    await page.get_by_role("link", name=f"What job {ids['ready']} does").click()
    await expect(page.get_by_role("heading", level=1)).to_contain_text(f"Job {ids['ready']}")


async def test_page_stays_fresh_without_being_loaded_again(
    open_page: Callable[..., object], app: forthwith.App, ids: dict[str, int]
) -> None:
    page = await open_page()  # type: ignore[misc]
    await page.goto("/jobs")
    await page.evaluate("window.isTheSame = true")
    job_id = await app.tasks["fine"].defer_async(to="margaret")
    await expect(page.get_by_role("link", name=str(job_id), exact=True)).to_be_visible()
    assert await page.evaluate("window.isTheSame")
    # What somebody is about to use is left alone.
    await page.get_by_label("Queue").fill("half a na")
    await app.tasks["fine"].defer_async(to="frances")
    await expect(page.get_by_role("link", name=str(job_id + 1), exact=True)).to_be_visible()
    await expect(page.get_by_label("Queue")).to_have_value("half a na")


async def test_progress_of_a_running_job_is_shown_live(
    open_page: Callable[..., object], app: forthwith.App
) -> None:
    goes_on, may_end = asyncio.Event(), asyncio.Event()

    @app.task(name="long", queue="long", pass_context=True)
    async def long(context: forthwith.JobContext) -> None:
        context.progress(1, 8, "begun")
        await goes_on.wait()
        context.progress(6, 8, "nearly there")
        await may_end.wait()

    job_id = await long.defer_async()
    working = asyncio.create_task(
        app.run_worker_async(queues=["long"], install_signal_handlers=False)
    )
    page = await open_page()  # type: ignore[misc]
    await page.clock.install()
    await _wait_for(page, job_id, "1 of 8 (12.5%): begun")
    await page.goto(f"/jobs/{job_id}")
    goes_on.set()
    await _wait_for(page, job_id, "6 of 8 (75.0%): nearly there")
    # Nothing else has happened, so that no count has changed.
    await page.clock.pause_at(datetime.now(UTC) + timedelta(seconds=1))
    async with page.expect_request(f"**/jobs/{job_id}"):
        await page.clock.run_for(3000)
    await page.clock.resume()
    await expect(page.get_by_text("6 of 8 (75.0%): nearly there")).to_be_visible()
    may_end.set()
    working.cancel()
    with suppress(asyncio.CancelledError):
        await working


async def _wait_for(page: Page, job_id: int, told: str) -> None:
    """Wait until the dashboard says that of a job to whoever asks."""

    async def is_told() -> bool:
        return told in await (await page.request.get(f"/jobs/{job_id}")).text()

    await wait_until(is_told)


async def test_notice_stays_while_the_page_is_kept_fresh_and_is_gone_when_it_is_opened_again(
    open_page: Callable[..., object], app: forthwith.App
) -> None:
    page = await open_page()  # type: ignore[misc]
    await page.goto("/queues")
    await page.get_by_role("button", name="Pause fine").click()
    await expect(page.get_by_text("fine is paused.")).to_be_visible()
    await app.tasks["fine"].configure(queue="fresh").defer_async()
    await expect(page.get_by_role("link", name="fresh", exact=True)).to_be_visible()
    await expect(page.get_by_text("fine is paused.")).to_be_visible()
    await page.reload()
    await expect(page.get_by_role("button", name="Resume fine")).to_be_visible()
    await expect(page.get_by_text("fine is paused.")).to_have_count(0)


async def test_what_is_in_names_is_text(
    open_page: Callable[..., object], ids: dict[str, int]
) -> None:
    page = await open_page()  # type: ignore[misc]
    for path in ("/", "/jobs", "/queues", "/tasks", "/locks", f"/jobs/{ids['failed']}"):
        await page.goto(path)
        await expect(page.locator("main")).to_contain_text("<script>alert(1)</script>")
    await expect(page.locator("main")).to_contain_text(TASK.split("\\")[0])
    assert HOSTILE  # it is in every one of them; the fixture sees that no dialog opened


async def test_page_fits_a_phone_and_the_dark(
    open_page: Callable[..., object], ids: dict[str, int]
) -> None:
    page = await open_page(viewport={"width": 390, "height": 844}, color_scheme="dark")  # type: ignore[misc]
    for path in ("/", "/jobs", "/queues", "/health", f"/jobs/{ids['failed']}"):
        await page.goto(path)
        beyond = await page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
        assert beyond <= 0, path
    ground = await page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert max(int(part) for part in ground.strip("rgb()").split(",")) < 60


async def test_tables_on_a_phone_keep_names_in_sight_and_words_whole(
    open_page: Callable[..., object],
) -> None:
    page = await open_page(viewport={"width": 390, "height": 844})  # type: ignore[misc]
    for path in ("/jobs", "/queues"):
        await page.goto(path)
        narrowest = await page.evaluate(
            "Math.min(...[...document.querySelectorAll('tbody td:not(.number, .choice)')]"
            ".map((cell) => cell.offsetWidth))"
        )
        assert narrowest >= 100, path
        scrolled, beside = await page.evaluate(
            """() => {
              const name = document.querySelector("tbody th"), table = name.closest(".wide");
              table.scrollLeft = 200;
              const left = (element) => element.getBoundingClientRect().left;
              return [table.scrollLeft, left(name) - left(table)];
            }"""
        )
        assert scrolled == 200, path
        assert 0 <= beside <= 2, path  # the table's border


async def test_it_can_be_used_by_keyboard(open_page: Callable[..., object]) -> None:
    page = await open_page()  # type: ignore[misc]
    await page.goto("/")
    await page.keyboard.press("Tab")
    await expect(page.get_by_role("link", name="Skip to the page")).to_be_focused()
    await page.keyboard.press("Enter")
    await expect(page.locator("#main")).to_be_focused()
    await page.goto("/queues")
    await page.get_by_role("button", name="Pause fine").focus()
    await page.keyboard.press("Enter")
    await expect(page.get_by_text("fine is paused.")).to_be_visible()
