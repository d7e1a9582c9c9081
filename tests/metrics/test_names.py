"""The reference, the Grafana dashboard and the alerts name what is exported, and nothing else."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from forthwith.engine.meter import Meter
from forthwith.engine.ports import Rescued
from forthwith.engine.readings import Readings
from forthwith.metrics.exposition import exposition
from forthwith.metrics.queue_metrics import QUEUES_MAX, TASKS_MAX, QueueMetrics
from forthwith.metrics.worker_metrics import WorkerMetrics
from forthwith.operations import LiveCount, QueueState, WorkerState
from forthwith.outcome import Released, Succeeded
from tests.unit.claimed import claimed_job

if TYPE_CHECKING:
    from collections.abc import Iterator

    from forthwith.engine.worker import Worker

DOCS = Path(__file__).parents[2] / "docs"
DASHBOARD = json.loads((DOCS / "grafana/forthwith.json").read_text("utf-8"))
REFERENCE = (DOCS / "reference/metrics.md").read_text("utf-8")
MONITOR = (DOCS / "how-to/monitor.md").read_text("utf-8")
NAME = re.compile(r"\bforthwith_\w+")
NOW = datetime(2026, 1, 2, 12, tzinfo=UTC)


def queue(name: str = "mail", **changes: Any) -> QueueState:
    values = {
        "name": name,
        "paused_at": None,
        "ready": 1,
        "blocked": 2,
        "scheduled": 3,
        "running": 4,
        "failed_last_hour": 0,
        "ended_per_minute": 0.0,
        "oldest_waiting_at": NOW,
        "listeners": 1,
        "is_exact": True,
    }
    return QueueState(**{**values, **changes})


def worker_state(*, is_silent: bool) -> WorkerState:
    return WorkerState(
        id=1,
        name="worker",
        host="host",
        pid=1,
        queues=None,
        concurrency=1,
        running=None,
        started_at=NOW,
        last_seen=NOW,
        lease_expires_at=NOW,
        lease_left_s=1.0,
        is_silent=is_silent,
        tasks_known=None,
    )


def metered_worker() -> Worker:
    """What a worker's metrics look at."""
    meter = Meter()
    meter.claimed(2)
    meter.took_over([Rescued(3, "work", 7, "rescued", "mail")])
    jobs = [claimed_job(1, wait_s=0.5), claimed_job(2)]
    meter.ended([Succeeded(jobs[0]), Released(jobs[1])], [0.02, 0.0], {1, 2})
    readings = Readings(
        worker_id=1,
        holds_lease=True,
        silent_s=0.0,
        is_stopping=False,
        running=1,
        buffered=2,
        unrecorded=3,
        reconnects=4,
    )
    worker = SimpleNamespace(
        meter=meter, readings=lambda: readings, settings=SimpleNamespace(concurrency=5)
    )
    return cast("Worker", worker)


def of_worker() -> str:
    return exposition("", WorkerMetrics(metered_worker())).body.decode()


def count(of: str = "mail", **changes: Any) -> LiveCount:
    values = {
        "queue": of,
        "task": "work",
        "running": 0,
        "ready": 1,
        "blocked": 0,
        "scheduled": 0,
        "oldest_waiting_at": NOW,
    }
    return LiveCount(**{**values, **changes})


def of_database(*queues: QueueState, counts: list[LiveCount] | None = None) -> str:
    workers = [worker_state(is_silent=False), worker_state(is_silent=True)]
    if counts is None:
        counts = [count(each.name, ready=each.ready) for each in queues]
    return exposition("", QueueMetrics(queues, counts, workers)).body.decode()


def exported() -> dict[str, str]:
    """All metrics with their types."""
    text = of_worker() + of_database(queue())
    return dict(re.findall(r"^# TYPE (\w+) (\w+)$", text, re.MULTILINE))


def samples() -> set[str]:
    """Every name that an expression may use."""
    return {
        name + suffix
        for name, kind in exported().items()
        for suffix in (("_bucket", "_sum", "_count") if kind == "histogram" else ("",))
    }


def test_reference_has_every_metric_with_its_type_and_no_other() -> None:
    rows = re.findall(r"^\| `(forthwith_\w+)` \| (\w+) \|", REFERENCE, re.MULTILINE)
    assert dict(rows) == exported()
    assert len(rows) == len(exported())


def expressions(panels: list[dict[str, Any]]) -> Iterator[str]:
    for panel in panels:
        yield from (target["expr"] for target in panel.get("targets", []))
        yield from expressions(panel.get("panels", []))


@pytest.mark.parametrize("expression", list(expressions(DASHBOARD["panels"])))
def test_panel_asks_for_what_is_exported(expression: str) -> None:
    names = NAME.findall(expression)
    assert names
    assert set(names) <= samples()


@pytest.mark.parametrize(
    "variable",
    [each for each in DASHBOARD["templating"]["list"] if each["type"] == "query"],
    ids=lambda variable: str(variable["name"]),
)
def test_variable_is_a_label_that_is_exported(variable: dict[str, Any]) -> None:
    metric, label = re.fullmatch(r"label_values\((\w+), (\w+)\)", variable["definition"]).groups()  # type: ignore[union-attr]
    assert re.search(rf"^{metric}{{.*\b{label}=", of_worker() + of_database(queue()), re.MULTILINE)


def test_panels_have_numbers_and_places_of_their_own() -> None:
    panels = DASHBOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels]
    assert len(set(places)) == len(panels)


def test_alerts_ask_for_what_is_exported() -> None:
    alerts = re.findall(r"^\| [^|`]+ \| `([^`]+)` \|", MONITOR, re.MULTILINE)
    assert len(alerts) >= 5
    assert set(NAME.findall(" ".join(alerts))) <= samples()


def test_released_jobs_are_counted_and_not_timed() -> None:
    text = of_worker()
    pair = 'queue="default",task="work"'
    assert f'forthwith_jobs_ended_total{{outcome="released",{pair}}} 1.0' in text
    assert f"forthwith_job_run_seconds_count{{{pair}}} 1.0" in text


def test_queues_are_told_by_state_the_largest_first_up_to_a_limit() -> None:
    text = of_database(*(queue(f"queue {number}", ready=number) for number in range(1200)))
    assert text.count('forthwith_queue_paused{queue="') == QUEUES_MAX
    assert 'forthwith_jobs{queue="queue 1199",state="ready",task="work"} 1199.0' in text
    assert 'queue="queue 199"' not in text


def test_jobs_are_told_by_task_and_those_of_the_smallest_tasks_together() -> None:
    numbers = range(1, TASKS_MAX + 3)
    text = of_database(queue(), counts=[count(task=f"task {n}", ready=n) for n in numbers])
    assert f'forthwith_jobs{{queue="mail",state="ready",task="task {TASKS_MAX}"}}' in text
    assert 'task="task 2"' not in text
    assert 'forthwith_jobs{queue="mail",state="ready",task=""} 3.0' in text


def test_queue_without_jobs_is_told_as_empty() -> None:
    text = of_database(queue(ready=0, blocked=0, scheduled=0, running=0), counts=[])
    assert 'forthwith_jobs{queue="mail",state="ready",task=""} 0.0' in text


def test_hostile_queue_names_stay_within_their_label() -> None:
    text = of_database(queue('a"}\nforged 1'), queue("\\"))
    assert not re.search(r"^forged", text, re.MULTILINE)


def test_paused_queues_and_silent_workers_are_told() -> None:
    text = of_database(queue(paused_at=NOW, oldest_waiting_at=None))
    assert 'forthwith_queue_paused{queue="mail"} 1.0' in text
    assert 'forthwith_oldest_waiting_seconds{queue="mail"} 0.0' in text
    assert 'forthwith_workers{state="silent"} 1.0' in text
