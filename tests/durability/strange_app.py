"""The app of a worker that knows one task only."""

from __future__ import annotations

import os

import forthwith

app = forthwith.App(os.environ["FORTHWITH_DATABASE_URL"])


@app.task(name="strange")
async def strange() -> None:
    """Do nothing: only this worker can."""
