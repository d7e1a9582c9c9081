"""The caller's connection belongs to his event loop, whether or not the app was opened there."""

from __future__ import annotations

import psycopg
import pytest

import forthwith


async def test_calls_on_the_callers_connection_need_no_opened_app(database_url: str) -> None:
    app = forthwith.App(database_url)
    job_id = await app.configure_task("some.task").defer_async()
    async with await psycopg.AsyncConnection.connect(database_url) as connection:
        manager = app.job_manager
        status = await manager.get_job_status_async(job_id, connection=connection)
        assert status is forthwith.JobStatus.TODO
        assert await manager.cancel_job_by_id_async(job_id, connection=connection)
        await connection.rollback()
    assert await app.job_manager.get_job_status_async(job_id) is forthwith.JobStatus.TODO
    app.close()


async def test_an_open_error_leaves_nothing_running(database_url: str) -> None:
    app = forthwith.App("postgresql://127.0.0.1:1/nowhere")
    with pytest.raises(forthwith.errors.DatabaseUnavailable):
        await app.open_async()
