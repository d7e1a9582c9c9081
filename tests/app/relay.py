"""The reference application's processes, as its tests start them."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx

from app.demo.children import Child, Children, free_port, wait_until_up
from tests.support.waiting import wait_until_sync

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FINISHED = frozenset({"succeeded", "failed", "cancelled", "aborted"})


@dataclass(frozen=True, slots=True)
class Relay:
    """A running service and a receiver for it to deliver to."""

    service: httpx.Client
    receiver: httpx.Client
    database_url: str
    children: Children
    service_process: Child

    def event(self, event_id: str, endpoint: str = "shop", **payload: Any) -> dict[str, Any]:
        """Return an event for an endpoint of the receiver."""
        url = f"{self.receiver.base_url}/hook/{endpoint}"
        return {"id": event_id, "endpoint": endpoint, "url": url, "payload": payload}

    def job(self, job_id: int) -> dict[str, Any]:
        """Return what the service says about a job."""
        response = self.service.get(f"/jobs/{job_id}")
        assert response.status_code == 200, response.text
        return dict(response.json())

    def finished_job(self, job_id: int) -> dict[str, Any]:
        """Wait until a job has finished, and return what the service says about it."""
        wait_until_sync(lambda: self.job(job_id)["status"] in FINISHED)
        return self.job(job_id)

    def start_worker(self) -> Child:
        """Start a worker process."""
        return self.children.start_python(
            f"worker-{len(self.children.running)}",
            "forthwith",
            *("--app", "app.procrastinate_app:app", "worker", "--concurrency", "10"),
        )


@contextmanager
def running_relay(database_url: str, logs: Path, **settings: str) -> Iterator[Relay]:
    """Start the receiver and the service, and stop them and whatever else was started."""
    service_port, receiver_port = free_port(0), free_port(0)
    environment = {
        "FORTHWITH_DATABASE_URL": database_url,
        "RELAY_PORT": str(service_port),
        "RELAY_BACKOFF_BASE_S": "0.02",
        "RELAY_BACKOFF_MAX_S": "0.1",
        "PYTHONWARNINGS": "error::ResourceWarning",
        **settings,
    }
    service_url = f"http://127.0.0.1:{service_port}"
    receiver_url = f"http://127.0.0.1:{receiver_port}"
    with (
        Children(logs, environment) as children,
        httpx.Client(base_url=service_url, trust_env=False, timeout=30) as service,
        httpx.Client(base_url=receiver_url, trust_env=False, timeout=30) as receiver,
    ):
        arguments = ("--port", str(receiver_port), "--failure-rate", "0", "--latency-max", "0")
        receiver_process = children.start_python("receiver", "app.receiver", *arguments)
        service_process = children.start_python("service", "app.main")
        asyncio.run(wait_until_up(receiver_process, f"{receiver_url}/report"))
        asyncio.run(wait_until_up(service_process, f"{service_url}/health"))
        yield Relay(service, receiver, database_url, children, service_process)
    for log in logs.glob("*.log"):
        assert "ResourceWarning" not in log.read_text(errors="replace"), log.read_text()
