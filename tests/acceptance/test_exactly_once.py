"""What a task can do so that its effects happen once, though it may run twice."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.support.workers import run_until_idle, status

if TYPE_CHECKING:
    import forthwith


async def test_the_lease_token_rises_with_each_claim_of_the_job(app: forthwith.App) -> None:
    tokens: list[int] = []

    @app.task(name="note", pass_context=True, retry=2)
    async def note(context: forthwith.JobContext) -> None:
        tokens.append(context.lease_token)
        if len(tokens) < 3:
            raise ConnectionError

    job_id = await note.defer_async()
    await run_until_idle(app)
    assert await status(app, job_id) == "succeeded"
    assert len(tokens) == 3
    assert 0 < tokens[0] < tokens[1] < tokens[2]
