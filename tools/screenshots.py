"""`python -m tools.screenshots`: take the pictures of the dashboard that the docs show, anew.

On an embedded PostgreSQL of its own a worker runs jobs of a made-up shop. Only the past is invented: the
tallies of a day, which would take a day. Needs a Chromium: `python -m tools.browser` fetches one. Pictures go
into docs/images, or into the directory that is given.
"""

from __future__ import annotations

import asyncio
import os
import socket
import sys
import tempfile
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import uvicorn
from PIL import Image
from playwright.async_api import async_playwright

from forthwith.database.embedded import open_embedded
from forthwith.web import dashboard
from tools.browser import find as find_browser
from tools.shop import live_through_a_morning, shop, wait_until_worked_off, write_past

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from playwright.async_api import Browser

    import forthwith

IMAGES = Path(__file__).parents[1] / "docs" / "images"
COLOURS = 128
DRAWN = (
    "[...document.querySelectorAll('[data-chart]')].every((place) => place.querySelector('canvas'))"
)


class Shot(NamedTuple):
    """A picture: what of, and how."""

    name: str
    path: str
    colour_scheme: str = "light"
    width: int = 1180
    height: int = 1000


@asynccontextmanager
async def served(app: forthwith.App) -> AsyncIterator[str]:
    """Serve the dashboard on a free port of this machine; give its address."""
    place = socket.create_server(("127.0.0.1", 0))
    board = dashboard(app, open_to_all="operator")
    server = uvicorn.Server(uvicorn.Config(board, log_level="warning", timeout_graceful_shutdown=2))
    serving = asyncio.create_task(server.serve(sockets=[place]))
    try:
        yield f"http://127.0.0.1:{place.getsockname()[1]}"
    finally:
        server.should_exit = True
        await serving


async def take(browser: Browser, url: str, shot: Shot, directory: Path) -> None:
    """Take a picture and make it small."""
    context = await browser.new_context(
        base_url=url,
        viewport={"width": shot.width, "height": shot.height},
        color_scheme=shot.colour_scheme,  # type: ignore[arg-type]
    )
    page = await context.new_page()
    await page.goto(shot.path)
    await page.wait_for_function(DRAWN)
    file = directory / f"dashboard-{shot.name}.png"
    await page.screenshot(path=file)
    await context.close()
    with Image.open(file) as picture:
        picture.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE).save(file, optimize=True)
    print(f"{file.name}: {file.stat().st_size / 1000:.0f} kB")


async def take_all(database_url: str, directory: Path) -> None:
    """Open the shop, and take the pictures. Leaves if there is no browser."""
    chromium = find_browser()
    if chromium is None:
        sys.exit("There is no Chromium here: `python -m tools.browser` fetches one where it can.")
    closing = asyncio.Event()
    app = shop(database_url, closing)
    async with app.open_async(), async_playwright() as driver, served(app) as url:
        await app.schema_manager.apply_schema_async()
        blocked_id = await live_through_a_morning(app)
        await write_past(database_url)
        working = asyncio.create_task(
            app.run_worker_async(install_signal_handlers=False, concurrency=20)
        )
        browser = await driver.chromium.launch(
            executable_path=chromium.path,
            env=dict(chromium.environment),
            args=["--no-sandbox", "--disable-gpu"],
        )
        await wait_until_worked_off(app)
        for shot in (
            Shot("overview", "/"),
            Shot("overview-dark", "/?since=day", "dark"),
            Shot("phone", "/", width=390, height=844),
            Shot("queue", "/queues?queue=payments", height=700),
            Shot("job", f"/jobs/{blocked_id}", "dark", height=700),
        ):
            await take(browser, url, shot, directory)
        await browser.close()
        closing.set()
        working.cancel()
        with suppress(asyncio.CancelledError):
            await working


def main() -> None:
    """Take the pictures into docs/images, or into the directory that is given."""
    directory = Path(sys.argv[1]) if len(sys.argv) > 1 else IMAGES
    directory.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as home:
        os.environ["FORTHWITH_HOME"] = home
        server = open_embedded(home, linger_s=0)
        try:
            asyncio.run(take_all(server.database_url("postgres"), directory))
        finally:
            server.remove()


if __name__ == "__main__":
    main()
