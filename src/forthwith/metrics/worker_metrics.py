"""What one worker's process tells Prometheus."""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from typing import TYPE_CHECKING

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
)

from forthwith.engine.meter import OUTCOMES, Histogram
from forthwith.outcome import Released

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from prometheus_client import Metric

    from forthwith.engine.meter import Ended, Key
    from forthwith.engine.worker import Worker

PAIR = ("queue", "task")
RELEASED = OUTCOMES[Released]


class WorkerMetrics:
    """The metrics of a worker, read at each scrape. Its jobs pay nothing for that."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker

    def collect(self) -> Iterator[Metric]:
        """Yield all metric families."""
        ended = self._worker.meter.total().by_key
        yield _jobs_ended(ended)
        yield _times(
            "forthwith_job_run_seconds",
            "How long attempts ran.",
            {key: each.run_s for key, each in ended.items()},
        )
        yield _times(
            "forthwith_job_wait_seconds",
            "How long jobs had waited when they were claimed, since they were deferred or due. Of large "
            "claims one job in twenty.",
            {key: each.wait_s for key, each in ended.items()},
        )
        yield from self._batches()
        yield from self._counters()
        yield from self._gauges()

    def _batches(self) -> Iterator[Metric]:
        meter = self._worker.meter
        for name, text, sizes in (
            ("claim_batch_size", "Jobs that a claim took.", meter.claims),
            ("completion_batch_size", "Outcomes recorded together.", meter.completions),
        ):
            family = HistogramMetricFamily(f"forthwith_{name}", text)
            family.add_metric([], _buckets(sizes), sizes.sum)
            yield family

    def _counters(self) -> Iterator[Metric]:
        meter, readings = self._worker.meter, self._worker.readings()
        for name, text, value in (
            ("rescued_jobs", "Jobs taken over from dead workers.", meter.rescued),
            ("leases_lost", "How often this worker was taken for dead.", meter.leases_lost),
            (
                "refused_outcomes",
                "Outcomes that changed nothing, for others had taken the job over.",
                meter.refused,
            ),
            (
                "database_reconnects",
                "How often a connection to the database was made anew.",
                readings.reconnects,
            ),
        ):
            yield CounterMetricFamily(f"forthwith_{name}", text, value=value)

    def _gauges(self) -> Iterator[Metric]:
        readings = self._worker.readings()
        for name, text, value in (
            ("running_jobs", "Jobs that run now.", readings.running),
            ("buffered_jobs", "Claimed jobs that wait for a runner.", readings.buffered),
            (
                "unrecorded_outcomes",
                "Outcomes that wait to be recorded.",
                readings.unrecorded,
            ),
            (
                "worker_concurrency",
                "How many jobs may run at a time.",
                self._worker.settings.concurrency,
            ),
        ):
            yield GaugeMetricFamily(f"forthwith_{name}", text, value=value)


def _jobs_ended(ended: Mapping[Key, Ended]) -> Metric:
    family = CounterMetricFamily(
        "forthwith_jobs_ended",
        "Attempts that ended, by outcome; released: given back before they were run to their end.",
        labels=(*PAIR, "outcome"),
    )
    for key, each in ended.items():
        family.add_metric(list(key), each.attempts)
    return family


def _times(name: str, text: str, times: Mapping[Key, Histogram]) -> Metric:
    by_pair: dict[tuple[str, str], Histogram] = defaultdict(Histogram)
    for key, histogram in times.items():
        if key.outcome != RELEASED:
            by_pair[key.queue, key.task].add(histogram)
    family = HistogramMetricFamily(name, text, labels=PAIR)
    for pair, histogram in by_pair.items():
        family.add_metric(pair, _buckets(histogram), histogram.sum)
    return family


def _buckets(histogram: Histogram) -> Sequence[tuple[str, float]]:
    """Return a histogram as Prometheus takes it: each bucket counts those below it, too."""
    return [
        ("+Inf" if math.isinf(bound) else repr(float(bound)), count)
        for bound, count in zip(
            histogram.bounds, itertools.accumulate(histogram.counts), strict=True
        )
    ]
