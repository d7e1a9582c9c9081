"""Stock Procrastinate fails where it is known to, by the same checkers; a quiet run passes.

A checker that passes it on the freeze, the drain and the blocked loop would be broken. That forthwith
passes the same scenarios is in tests/verify/test_mutations.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from forthwith.verify.lab import LabSettings, open_lab
from tests.support.forking import fork_worker
from tests.verify import scenarios
from tests.verify.scenarios import LEASE_S, RENEW_S, Stage
from tests.verify.stock.system import STOCK

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    WaitUntil = Callable[..., Awaitable[Any]]
    RecordFigure = Callable[[str, float, str], None]


@pytest.mark.parametrize(
    ("play", "violated"),
    [
        (scenarios.quiet, set()),
        (scenarios.thaw, {"I5"}),
        (scenarios.drain, {"I6", "I9"}),
        (scenarios.blocked_loop, {"I6", "I9"}),
    ],
    ids=["quiet", "freeze", "drain", "blocked loop"],
)
async def test_stock_procrastinate(
    play: Callable[[Stage], Awaitable[None]],
    violated: set[str],
    empty_database_url: str,
    tmp_path: Path,
    wait_until: WaitUntil,
) -> None:
    settings = LabSettings(lease_s=LEASE_S, renew_s=RENEW_S, launch=fork_worker)
    async with open_lab(
        empty_database_url, tmp_path / "lab", schema="public", settings=settings, system=STOCK
    ) as lab:
        # What is given back wakes nobody there, so let the workers look often.
        stage = Stage(lab, wait_until, "stock", options={"fetch_job_polling_interval": 0.3})
        await play(stage)
        verdict = await lab.settle(within_s=10.0)
        for worker in lab.workers:
            print(f"--- {worker.name}\n{worker.output()}")
    assert violated <= verdict.violated, verdict.text()
    assert verdict.ok is (not violated)
    assert verdict.history.jobs
    assert all(run.ended_s for run in verdict.history.runs)
