"""The goals that forthwith is measured against, and how far a result comes."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from benchmarks import table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.results import Result, Spread

NOT_PEERS = ("forthwith", "raw_sql")
NOT_IN_PYTHON = ("graphile_worker", "pg_boss")
NOT_ON_POSTGRESQL = ("celery", "dramatiq", "saq", "streaq", "huey")


class Goal(NamedTuple):
    """To be so many times better than the best peer, or than the one that is named.

    By the value that the scenario is compared by, or another one; among all, those on PostgreSQL, or those
    in Python.
    """

    scenario: str
    variant: str
    times: float
    peer: str = ""
    value: str = ""
    on_postgresql: bool = False
    in_python: bool = False

    def is_against(self, peer: str) -> bool:
        """Whether this peer is one to be better than."""
        if self.peer:
            return peer == self.peer
        others = NOT_ON_POSTGRESQL if self.on_postgresql else ()
        others += NOT_IN_PYTHON if self.in_python else ()
        return peer not in (*NOT_PEERS, *others)


GOALS = (
    Goal("burn_down", "", 2.5),
    Goal("burn_down", "", 200.0, "procrastinate"),
    Goal("burn_down", "", 0.6, "raw_sql"),
    Goal("steady", "full", 2.0),
    Goal("pickup", "", 1.0, on_postgresql=True),
    Goal("pickup", "", 1.0, value="p99_ms", on_postgresql=True),
    Goal("defers", "single 64", 5.0, "procrastinate"),
    Goal("defers", "batch 1000", 1.5),
    Goal("defers", "batch 10000", 1.5),
    Goal("tasks", "io", 2.0, in_python=True),
    Goal("tasks", "thread", 2.0, in_python=True),
    Goal("tasks", "cpu", 2.0, in_python=True),
)
RETRIES_SHARE = 0.4
FULL_TABLES_SHARE = 0.9
OLD_SNAPSHOT_SHARE = 0.9
# Of as many times the rate of one process as there are processes, unless the cores are saturated.
LINEAR_SHARE = 0.8
SATURATED_SHARE = 0.9
# What ten idle workers cost: less of each than any peer.
IDLE = {
    "transactions": "transactions_per_min",
    "workers' CPU": "workers_cpu_s_per_min",
    "server's CPU": "server_cpu_s_per_min",
}


def told(result: Result) -> Iterator[str]:
    """Yield a line for each goal for which there are figures."""
    for goal in GOALS:
        if (found := _nearest(result, goal)) is not None:
            ratio, peer = found
            value = goal.value.removesuffix("_ms")
            name = " ".join(word for word in (goal.scenario, goal.variant, value) if word)
            yield f"{name}: {ratio:,.1f}x {peer}; goal {goal.times:g}x{_verdict(ratio, goal.times)}"
    if (share := _retries_share(result)) is not None:
        yield (
            f"retries: {share:.0%} of a burn-down; goal {RETRIES_SHARE:.0%}"
            f"{_verdict(share, RETRIES_SHARE)}"
        )
    yield from _share_told(result, "full_tables", "share_of_empty", "empty ones", FULL_TABLES_SHARE)
    yield from _share_told(
        result, "old_snapshot", "share_of_first", "the first tenth", OLD_SNAPSHOT_SHARE
    )
    yield from _processes_told(result)
    yield from _faults_told(result)
    yield from _idle_told(result)


def _share_told(
    result: Result, scenario: str, value: str, whole: str, wanted: float
) -> Iterator[str]:
    """Yield how much of its pace forthwith keeps, in each mode."""
    for variant in table.variants(result, scenario):
        share = table.median_of(result, scenario, "forthwith", value, variant)
        if share is not None:
            yield (
                f"{f'{scenario} {variant}'.strip()}: {share.median:.0%} of {whole}; goal {wanted:.0%}"
                f"{_verdict(share.median, wanted)}"
            )


def _processes_told(result: Result) -> Iterator[str]:
    """Yield how far several processes come, and whether it is the cores that stop them."""
    for variant in table.variants(result, "processes"):
        share, cores, busy = (
            table.median_of(result, "processes", "forthwith", value, variant)
            for value in ("share_of_linear", "cores", "cores_busy")
        )
        if share is None:
            continue
        saturated = cores and busy and busy.median >= SATURATED_SHARE * cores.median
        yield (
            f"processes {variant}: {share.median:.0%} of linear; goal {LINEAR_SHARE:.0%}"
            f"{' until cores saturate' if saturated else ''}"
            f"{'' if saturated else _verdict(share.median, LINEAR_SHARE)}"
            f"{_busy(cores, busy, saturated=bool(saturated))}"
        )


def _busy(cores: Spread | None, busy: Spread | None, *, saturated: bool) -> str:
    if cores is None or busy is None:
        return ""
    said = f"; {busy.median:.1f} of {cores.median:.0f} cores busy"
    return f"{said}: saturated" if saturated else f"{said}: not saturated"


def _faults_told(result: Result) -> Iterator[str]:
    """Yield what faults cost us; no job may be lost, or left to do."""
    kept, recovery, gone, left = (
        table.median_of(result, "faults", "forthwith", value)
        for value in ("share_of_peace", "recovery_s", "lost", "unfinished")
    )
    if kept is None or gone is None or left is None:
        return
    recovered = f", jobs again {recovery.median:.1f} s after the restart" if recovery else ""
    verdict = ": **not reached**" if gone.high or left.high else ""
    yield (
        f"faults: {kept.median:.0%} of the pace in peace{recovered}, {gone.high:,.0f} jobs lost, "
        f"{left.high:,.0f} left; goal: none lost or left{verdict}"
    )


def _idle_told(result: Result) -> Iterator[str]:
    """Yield how our idle workers compare with the most frugal peer's, for each thing they cost."""
    for name, value in IDLE.items():
        ours = table.median_of(result, "idle", "forthwith", value)
        theirs = [
            (found.median, entry.name)
            for entry in result.peers
            if entry.peer not in NOT_PEERS
            and (found := table.median_of(result, "idle", entry.peer, value)) is not None
        ]
        if ours is not None and theirs:
            least, peer = min(theirs)
            yield (
                f"idle {name} a minute: {ours.median:,.2f}, {peer} {least:,.2f}; goal: less"
                f"{_verdict(least, ours.median)}"
            )


def _verdict(found: float, wanted: float) -> str:
    return "" if found >= wanted else ": **not reached**"


def _nearest(result: Result, goal: Goal) -> tuple[float, str] | None:
    """The ratio to the peer that comes nearest (or is named), and that peer's name."""
    found = [
        (found_ratio, entry.name)
        for entry in result.peers
        if goal.is_against(entry.peer)
        and (
            found_ratio := table.ratio(result, goal.scenario, goal.variant, entry.peer, goal.value)
        )
        is not None
    ]
    return min(found, default=None)


def _retries_share(result: Result) -> float | None:
    retries = table.median_of(result, "retries", "forthwith", "jobs_per_s")
    plain = table.median_of(result, "burn_down", "forthwith", "jobs_per_s")
    return None if retries is None or plain is None else retries.median / plain.median
