"""A stock worker of the lab, and the rescue that Procrastinate's documentation recommends.

https://procrastinate.readthedocs.io/en/stable/howto/production/retry_stalled_jobs.html has a periodic
task that gives each job of `get_stalled_jobs` to `retry_job`. Cron's minutes are long beside our leases,
so here a loop does that; it has a connection of its own, by whose name the audit tells rescues apart.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from pathlib import Path
from typing import Any

import procrastinate
from psycopg.conninfo import make_conninfo

from forthwith.verify.checkers.timelines import RESCUER
from forthwith.verify.diary import Diary
from tests.verify.stock.system import stock_app

SWEEP_S = 0.3


async def retry_stalled_jobs(url: str, stalled_s: float) -> None:
    """Retry the jobs of workers whose last heartbeat is that many seconds ago, until cancelled."""
    connector = procrastinate.PsycopgConnector(
        conninfo=make_conninfo(url, application_name=RESCUER), min_size=1, max_size=1
    )
    app = procrastinate.App(connector=connector)
    async with app.open_async():
        while True:
            await asyncio.sleep(SWEEP_S)
            for job in await app.job_manager.get_stalled_jobs(seconds_since_heartbeat=stalled_s):
                try:
                    await app.job_manager.retry_job(job)
                except procrastinate.exceptions.ConnectorException:
                    logging.exception("Somebody else was quicker")


async def main(settings: dict[str, Any]) -> None:
    """Run the worker until a signal stops it."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    home, options = Path(settings["home"]), settings["options"]
    diary = Diary(home / "diaries" / f"{settings['name']}.jsonl")
    app = stock_app(settings["url"], settings["schema"], diary, home)
    rescuing = asyncio.create_task(
        retry_stalled_jobs(settings["url"], options["stalled_worker_timeout"])
    )
    async with app.open_async():
        await app.run_worker_async(name=settings["name"], **options)
    rescuing.cancel()
    await asyncio.gather(rescuing, return_exceptions=True)


if __name__ == "__main__":
    asyncio.run(main(json.loads(sys.argv[1])))
