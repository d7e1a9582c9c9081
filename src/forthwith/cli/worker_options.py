"""The options of `forthwith worker`, as the engine takes them and as a command line again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from forthwith.cli.logs import LogFormat


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerCommand:
    """What the user asked for; None leaves it to the app's worker_defaults."""

    queues: list[str] | None
    concurrency: int | None
    name: str | None
    wait: bool | None
    grace_period: float | None
    polling_interval: float | None
    no_listen_notify: bool
    delete_jobs: str | None
    metrics_port: int | None
    metrics_host: str | None
    log_level: str
    log_format: LogFormat

    def worker_options(self) -> dict[str, Any]:
        """Return the keyword arguments of `App.run_worker`, without those left to the defaults."""
        options: dict[str, Any] = {
            "queues": self.queues,
            "concurrency": self.concurrency,
            "name": self.name,
            "wait": self.wait,
            "shutdown_graceful_timeout": self.grace_period,
            "fetch_job_polling_interval": self.polling_interval,
            "listen_notify": False if self.no_listen_notify else None,
            "delete_jobs": self.delete_jobs,
            "metrics_port": self.metrics_port,
            "metrics_host": self.metrics_host,
        }
        return {name: value for name, value in options.items() if value is not None}

    def arguments(self, app_path: str, number: int, *, debug: bool) -> list[str]:
        """Return the command line of the `number`th of several processes, without the program."""
        arguments = [f"--app={app_path}", *(["--debug"] if debug else []), "worker", "--supervised"]
        for name, value in self._values(number).items():
            if value is not None:
                arguments.append(f"--{name}={value}")
        if self.wait is not None:
            arguments.append("--wait" if self.wait else "--one-shot")
        if self.no_listen_notify:
            arguments.append("--no-listen-notify")
        return arguments

    def port_of(self, number: int) -> int | None:
        """Return the metrics port of the `number`th process: the first has the one that was asked for."""
        return self.metrics_port + number - 1 if self.metrics_port else self.metrics_port

    def _values(self, number: int) -> dict[str, object]:
        return {
            "queues": ",".join(self.queues) if self.queues else None,
            "concurrency": self.concurrency,
            "name": f"{self.name}-{number}" if self.name else None,
            "grace-period": self.grace_period,
            "polling-interval": self.polling_interval,
            "delete-jobs": self.delete_jobs,
            "metrics-port": self.port_of(number),
            "metrics-host": self.metrics_host,
            "log-level": self.log_level,
            "log-format": self.log_format,
        }
