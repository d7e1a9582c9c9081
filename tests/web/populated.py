"""A database with jobs in every state, in whose fields somebody has put what does harm elsewhere."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import forthwith
from forthwith import App

HOSTILE = "<script>alert(1)</script>'\"; drop table forthwith.job; --\\ %s {} \x1b[31m ‮"
QUEUE = f"a/b?c#\n{HOSTILE}"
TASK = f"task {HOSTILE}"
LOCK = f"lock {HOSTILE}"
SECRET = "hunter2-the-secret"  # noqa: S105 -- what must not be shown
FAR = datetime(2100, 1, 1, tzinfo=UTC)


def app_of(database_url: str) -> App:
    """Return the app of these jobs."""
    app = App(database_url)

    @app.task(name=TASK, queue=QUEUE)
    async def fail(**_arguments: object) -> None:
        raise ValueError(f"cannot: {HOSTILE}")

    @app.task(name="fine", queue="fine")
    async def succeed(**_arguments: object) -> None:
        pass

    @app.periodic(cron="0 0 1 1 *", periodic_id=f"id {HOSTILE}")
    @app.task(name="yearly", queue="fine", pass_context=True)
    async def yearly(_context: forthwith.JobContext, timestamp: int) -> None:
        pass

    return app


async def populate(app: App) -> dict[str, int]:
    """Have jobs of every kind; return their ids by what they are."""
    arguments = {
        "to": HOSTILE,
        HOSTILE: [HOSTILE],
        "api_key": SECRET,
        "deep": [{"password": SECRET}],
    }
    fail, succeed = app.tasks[TASK], app.tasks["fine"]
    ids = {
        "failed": await fail.configure(lock=LOCK, queueing_lock=LOCK).defer_async(**arguments),
        "succeeded": await succeed.defer_async(to="ada", api_key=SECRET),
    }
    await app.run_worker_async(wait=False, install_signal_handlers=False, listen_notify=False)
    ids["cancelled"] = await succeed.defer_async(to="grace")
    await app.job_manager.cancel_job_by_id_async(ids["cancelled"])
    ids["scheduled"] = await succeed.configure(schedule_at=FAR).defer_async(to="linus")
    ids["ready"] = await fail.configure(lock=LOCK, queueing_lock=LOCK).defer_async(**arguments)
    ids["blocked"] = await fail.configure(lock=LOCK).defer_async(**arguments)
    return ids


def soon() -> str:
    """Return a time an hour from now, as the API takes it."""
    return (datetime.now(UTC) + timedelta(hours=1)).isoformat()
