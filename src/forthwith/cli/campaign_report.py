"""What `forthwith verify` says in the end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from forthwith.cli.columns import Column
from forthwith.cli.output import print_table

if TYPE_CHECKING:
    from forthwith.verify.campaign import Result


def print_report(result: Result) -> None:
    """Write the faults, the recoveries and the verdict for people."""
    click.echo()
    print_table(
        (Column("fault"), Column("planned", number=True), Column("struck", number=True)),
        [(kind, result.planned[kind], result.struck[kind]) for kind in _kinds(result)],
        "No faults.",
    )
    click.echo()
    print_table(
        (
            Column("recovery"),
            Column("until"),
            Column("cases", number=True),
            Column("median s", number=True),
            Column("max s", number=True),
        ),
        [
            (r.kind, r.meaning, len(r.times_s), f"{r.median_s:.2f}", f"{r.max_s:.2f}")
            for r in result.recoveries
        ],
        "No recoveries to measure.",
    )
    click.echo()
    click.echo(result.verdict.text())
    click.echo()
    click.echo(_conclusion(result))


def report_document(result: Result, *, kept: bool) -> dict[str, Any]:
    """Return the same for programs."""
    history = result.verdict.history
    return {
        "ok": result.ok,
        "seed": result.settings.seed,
        "minutes": result.settings.duration_s / 60,
        "jobs": len(history.jobs),
        "runs": len(history.runs),
        "planned": dict(result.planned),
        "struck": dict(result.struck),
        "shortfall": result.shortfall,
        "settled_s": history.settled_s,
        "recoveries": [
            {
                "kind": recovery.kind,
                "until": recovery.meaning,
                "cases": len(recovery.times_s),
                "median_s": recovery.median_s,
                "max_s": recovery.max_s,
            }
            for recovery in result.recoveries
        ],
        "violations": [
            {"invariant": violation.invariant, "text": violation.text}
            for violation in result.verdict.violations
        ],
        "home": str(result.settings.home) if kept else None,
    }


def _kinds(result: Result) -> list[str]:
    return sorted({*result.planned, *result.struck})


def _conclusion(result: Result) -> str:
    if not result.verdict.ok:
        return "VIOLATED: see above."
    if result.shortfall is not None:
        return f"INCONCLUSIVE: nothing was violated, but {result.shortfall}."
    return "Everything holds: nothing was lost, and nothing was done twice that must not be."
