"""Charts in a real browser: they are drawn, say their numbers, follow the palette and what is new."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import pytest
from playwright.async_api import Locator, Page, Route, expect

from forthwith.web.pages import libraries
from tests.web import test_pages_in_browser as in_browser
from tests.web.populated import QUEUE

if TYPE_CHECKING:
    from collections.abc import Callable

    import psycopg

pytestmark = [
    in_browser.pytestmark,
    pytest.mark.skipif(
        not libraries.are_there(), reason="the libraries of the pages are missing: `make -B setup`"
    ),
]
app, ids, url, open_page = in_browser.app, in_browser.ids, in_browser.url, in_browser.open_page

PAGES = (
    "/",
    "/?since=day",
    "/jobs",
    "/jobs?status=failed",
    "/queues",
    f"/queues?{urlencode({'queue': QUEUE})}",
    "/tasks",
    "/periodic",
    "/locks",
    "/workers",
    "/health",
)
# How many pixels of a chart's canvas have the colour of that name in the palette.
COUNT_PIXELS = """
([number, name]) => {
    const chart = document.querySelectorAll('[data-chart] canvas')[number];
    const copy = document.createElement('canvas');
    [copy.width, copy.height] = [chart.width, chart.height];
    const brush = copy.getContext('2d', { willReadFrequently: true });
    brush.fillStyle = getComputedStyle(document.documentElement).getPropertyValue(name).trim();
    brush.fillRect(0, 0, 1, 1);
    const wanted = brush.getImageData(0, 0, 1, 1).data.join();
    brush.clearRect(0, 0, 1, 1);
    brush.drawImage(chart, 0, 0);
    const { data } = brush.getImageData(0, 0, copy.width, copy.height);
    let count = 0;
    for (let at = 0; at < data.length; at += 4) if (data.slice(at, at + 4).join() === wanted) count += 1;
    return count;
}
"""
# Says that there is news, as the stream of events does, and waits for what comes of it.
REFRESH = """
(moment) => new Promise((done) => {
    const state = document.querySelector('[data-live-state]');
    state.addEventListener(moment, (event) => setTimeout(() => done(event.defaultPrevented)), { once: true });
    state.dispatchEvent(new Event('news'));
})
"""
REFRESHED = "htmx:after:swap"


@pytest.fixture
async def page(open_page: Callable[..., Any], tallies: None) -> Page:
    """The overview."""
    page: Page = await open_page()
    await page.goto("/")
    return page


@pytest.fixture
async def tallies(connection: psycopg.AsyncConnection[Any]) -> None:
    """In each of seven minutes, half an hour ago, 30 attempts succeeded and 10 failed."""
    await add_tallies(connection, "succeeded", 30)
    await add_tallies(connection, "failed", 10)


async def add_tallies(
    connection: psycopg.AsyncConnection[Any], outcome: str, attempts: int
) -> None:
    """Add to the history of seven minutes, half an hour ago."""
    await connection.execute(
        """
        insert into forthwith.tally
        select
            date_trunc('minute', now()) - make_interval(mins => ago),
            'fine', 'fine', %s, %s, 1, '{}', 1, '{}'
        from generate_series(27, 33) ago
        on conflict (minute, queue, task, outcome) do update set attempts = excluded.attempts
        """,
        (outcome, attempts),
    )


async def point_at(page: Page, chart: int) -> None:
    """Move the mouse to the middle of a chart, which is half an hour ago."""
    await page.locator("[data-chart] .u-over").nth(chart).hover()


def told(page: Page, chart: int, name: str) -> Locator:
    """Return where a chart tells the number of that name."""
    row = page.locator(".u-legend").nth(chart).locator(".u-series")
    return row.filter(has=page.get_by_text(name, exact=True)).locator(".u-value")


async def test_charts_are_drawn_and_tell_their_numbers(page: Page) -> None:
    await expect(page.locator("[data-chart] canvas")).to_have_count(2)
    for scheme in ("light", "dark"):
        await page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        for asked in ([0, "--good"], [0, "--bad"], [1, "--bad"]):
            await page.wait_for_function(f"(asked) => ({COUNT_PIXELS})(asked) > 100", arg=asked)
    await point_at(page, 0)
    await expect(told(page, 0, "from")).to_have_text(
        re.compile(r"^20\d\d-\d\d-\d\d \d\d:\d\d UTC$")
    )
    await expect(told(page, 0, "succeeded")).to_have_text("30")
    await expect(told(page, 0, "not succeeded")).to_have_text("10")
    await point_at(page, 1)
    await expect(told(page, 1, "error rate")).to_have_text("25 %")
    words = page.get_by_role("img")
    await expect(words.nth(0)).to_have_accessible_name(
        re.compile(r"Attempts that ended.* 282 in the last hour")
    )
    await expect(words.nth(1)).to_have_accessible_name(re.compile(r"Error rate.*at most 50\.0%"))
    await page.get_by_role("link", name="The last day").click()
    await expect(words.nth(0)).to_have_accessible_name(re.compile("282 in the last day"))
    await expect(page.locator("[data-chart] canvas")).to_have_count(2)


async def test_charts_follow_what_is_new_and_the_reader_is_not_disturbed(
    page: Page, connection: psycopg.AsyncConnection[Any]
) -> None:
    await page.evaluate("window.isTheSame = true")
    await page.get_by_text("The charts in numbers").click()
    link = page.get_by_role("link", name="The last day")
    await link.focus()
    await point_at(page, 0)
    await page.evaluate("window.scrollTo(0, 40)")
    await add_tallies(connection, "succeeded", 90)  # the stream of events says so
    await expect(told(page, 0, "succeeded")).to_have_text("90")
    await expect(told(page, 0, "not succeeded")).to_have_text("10")
    await expect(page.locator(".numbers tbody")).to_contain_text("90")
    await expect(page.locator(".numbers tbody")).to_be_visible()
    await expect(link).to_be_focused()
    assert await page.evaluate("window.scrollY") == 40
    assert await page.evaluate("window.isTheSame")


async def test_pages_are_morphed_unless_that_does_harm(page: Page) -> None:
    for path in PAGES:
        await page.goto(path)
        assert await page.evaluate(REFRESH, REFRESHED) is False, path
        await expect(page.locator("[data-live]")).to_have_count(1)
    await page.goto("/")
    button = page.get_by_role("button", name="Pause fine")
    await button.focus()  # somebody is about to press it
    assert await page.evaluate(REFRESH, "htmx:before:request") is True
    await expect(button).to_be_focused()
    await button.evaluate("button => button.blur()")
    assert await page.evaluate(REFRESH, REFRESHED) is False

    async def lead_to_login(route: Route) -> None:
        await route.fulfill(content_type="text/html", body="<p>Log in first</p>")

    await page.route(lambda asked: asked.endswith("/"), lead_to_login)
    # One that was under way when the route was laid may still come home.
    refused = [await page.evaluate(REFRESH, "htmx:before:swap") for _ in range(3)]
    assert refused[-1] is True
    await expect(page.locator("[data-live] h1")).to_have_text("Overview")
    await page.unroute_all(behavior="wait")


async def test_charts_are_tables_without_scripts(
    open_page: Callable[..., Any], tallies: None
) -> None:
    page: Page = await open_page(javascript=False)
    await page.goto("/")
    await expect(page.locator("canvas")).to_have_count(0)
    await page.get_by_text("The charts in numbers").click()
    row = page.locator(".numbers tr", has_text="25.0%").first
    await expect(row).to_be_visible()
    await expect(row.locator("td")).to_have_text(["30", "10", "25.0%"])
