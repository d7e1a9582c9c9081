"""What the peers keep their jobs in: PostgreSQL, Redis, SQLite; opened when the first peer needs it."""

from __future__ import annotations

import contextlib
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.errors import SetUpError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.server import Server


@dataclass(slots=True)
class Backends:
    """The stores that are open; leaving `closing` stops what was started here."""

    server: Server
    closing: contextlib.ExitStack
    _redis: Any = field(default=None)
    _redis_fault: str = ""

    def open(self, backend: str) -> dict[str, str]:
        """Have the backend running; its settings. Raises SetUpError with the reason if it cannot be."""
        if backend == "redis":
            settings: dict[str, str] = self._open_redis().settings()
            return {f"redis {name}": value for name, value in settings.items()}
        if backend not in ("postgresql", "sqlite"):
            raise SetUpError(f"unknown backend {backend!r}")
        return {}

    @contextlib.contextmanager
    def database(self, backend: str) -> Iterator[str]:
        """The URL of a fresh, empty database, gone afterwards."""
        if backend == "postgresql":
            with self.server.database() as url:
                yield url
        elif backend == "redis":
            with self._open_redis().database() as url:
                yield url
        else:
            with tempfile.TemporaryDirectory(prefix="bench-") as folder:
                yield f"sqlite:///{Path(folder) / 'jobs.sqlite'}"

    def _open_redis(self) -> Any:
        if self._redis_fault:
            raise SetUpError(self._redis_fault)
        if self._redis is None:
            from benchmarks.redis import open_redis

            try:
                self._redis = self.closing.enter_context(open_redis())
            except SetUpError as error:
                self._redis_fault = str(error)
                raise
        return self._redis
