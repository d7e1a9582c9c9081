"""What a worker's process answers to Prometheus and to whoever checks its health."""

from __future__ import annotations

import asyncio
import importlib.util
import logging
from contextlib import contextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING

from forthwith.errors import InvalidArgument
from forthwith.metrics.health import why_not_live, why_not_ready
from forthwith.metrics.pulse import Pulse
from forthwith.metrics.server import Answer, Server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from forthwith.engine.worker import Worker

logger = logging.getLogger(__name__)


@contextmanager
def monitored(host: str, port: int, worker: Callable[[], Worker | None]) -> Iterator[str]:
    """Serve /metrics, /health/live and /health/ready in the block; yield the URL before the path.

    `worker` returns the one that runs, None while there is none. Raises `InvalidArgument` if the port
    cannot be had, or a library is missing.
    """
    if importlib.util.find_spec("prometheus_client") is None:
        raise InvalidArgument(
            "metrics_port", "needs prometheus-client: pip install 'forthwith[metrics]'"
        )
    monitor = Monitor(worker, Pulse(asyncio.get_running_loop()))
    routes = {
        "/metrics": monitor.metrics,
        "/health/live": monitor.live,
        "/health/ready": monitor.ready,
    }
    with Server(host, port, routes=routes, tick=monitor.pulse.ask) as server:
        logger.info("Metrics and health are at %s/metrics and /health/…", server.url)
        yield server.url


class Monitor:
    """The answers. All are given in a thread beside the event loop."""

    def __init__(self, worker: Callable[[], Worker | None], pulse: Pulse) -> None:
        self._worker = worker
        self.pulse = pulse

    def metrics(self, accept: str) -> Answer:
        """Tell Prometheus all that is counted, by the worker and by the tasks themselves."""
        from prometheus_client import REGISTRY

        from forthwith.metrics.exposition import exposition
        from forthwith.metrics.worker_metrics import WorkerMetrics

        worker = self._worker()
        sources = [REGISTRY] if worker is None else [WorkerMetrics(worker), REGISTRY]
        content_type, body = exposition(accept, *sources)
        return Answer(HTTPStatus.OK, body, content_type)

    def live(self, _accept: str) -> Answer:
        """Say whether the process should go on."""
        problem = why_not_live(self.pulse.silent_s)
        return _verdict("live", [] if problem is None else [problem])

    def ready(self, _accept: str) -> Answer:
        """Say whether the worker takes jobs."""
        worker = self._worker()
        return _verdict("ready", why_not_ready(None if worker is None else worker.readings()))


def _verdict(good: str, problems: list[str]) -> Answer:
    if problems:
        return Answer(HTTPStatus.SERVICE_UNAVAILABLE, f"{'; '.join(problems)}\n".encode())
    return Answer(HTTPStatus.OK, f"{good}\n".encode())
