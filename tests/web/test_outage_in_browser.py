"""A page that is open while the database goes away says how old it is, wherever it is scrolled to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from playwright.async_api import async_playwright, expect

from forthwith.verify.proxy import Proxy
from tests.web.own_process import serving
from tests.web.test_pages_in_browser import CHROMIUM, FLAGS, PATIENCE_MS, pytestmark

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["pytestmark"]
AWAY = "The database cannot be reached; trying again. What is shown is of "


async def test_old_page_says_so_in_sight_until_it_is_fresh_again(
    database_url: str, tmp_path: Path
) -> None:
    assert CHROMIUM is not None
    with Proxy(database_url) as proxy, serving(proxy.conninfo, tmp_path) as dashboard:
        async with async_playwright() as driver:
            browser = await driver.chromium.launch(
                executable_path=CHROMIUM.path, env=dict(CHROMIUM.environment), args=[*FLAGS]
            )
            page = await browser.new_page(viewport={"width": 390, "height": 500})
            page.set_default_timeout(PATIENCE_MS)
            await page.goto(f"{dashboard.url}/")
            trouble = page.locator("[data-live-state]")
            await expect(trouble).to_be_hidden()
            proxy.refuse = True
            proxy.cut()
            await expect(trouble).to_contain_text(AWAY)
            await page.evaluate("scrollTo(0, document.documentElement.scrollHeight)")
            await expect(trouble).to_be_in_viewport(ratio=1)
            proxy.refuse = False
            await expect(trouble).to_be_hidden()
            await browser.close()
