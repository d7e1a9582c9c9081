"""An app whose worker's wall clock is set by a file while it runs. Test processes never import this."""

from __future__ import annotations

import os
import time
from pathlib import Path

import forthwith

OFFSET = Path(os.environ["CLOCK_OFFSET"])
"""A file with the seconds by which the wall clock is wrong."""
true_time = time.time


def wrong_time() -> float:
    """Return the wall clock as it is set."""
    return true_time() + float(OFFSET.read_text() or 0)


time.time = wrong_time
app = forthwith.App(os.environ["FORTHWITH_DATABASE_URL"])


@app.periodic(cron="* * * * * *")
@app.task(name="tick", queue="ticks")
async def tick(timestamp: int) -> None:
    """Do nothing: that it was deferred is in the database."""


@app.task(name="note")
async def note(seconds: float = 0.0) -> None:
    """Take no time."""
