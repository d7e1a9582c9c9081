"""The app of worker processes whose tasks lay hands on the event loop that they run in."""

from __future__ import annotations

import asyncio
import os
import sys

import forthwith

app = forthwith.App(os.environ["FORTHWITH_DATABASE_URL"])
background: set[asyncio.Task[None]] = set()


@app.task(name="work")
async def work(run_s: float = 0.0) -> None:
    """Take some time."""
    await asyncio.sleep(run_s)


@app.task(name="stop the loop")
async def stop_the_loop() -> None:
    """Stop the event loop."""
    asyncio.get_running_loop().stop()
    await asyncio.sleep(0)


@app.task(name="close the loop")
async def close_the_loop() -> None:
    """Close the event loop, which Python refuses."""
    asyncio.get_running_loop().close()


@app.task(name="cancel all tasks")
async def cancel_all_tasks() -> None:
    """Cancel whatever runs in the loop, this task too."""
    for task in asyncio.all_tasks():
        task.cancel()
    await asyncio.sleep(0)


@app.task(name="exit in the background")
async def exit_in_the_background() -> None:
    """Let a task of one's own end the program."""

    async def leave() -> None:
        sys.exit(0)

    background.add(asyncio.create_task(leave()))
    await asyncio.sleep(0.1)
