"""The relay's forthwith app: the database that it uses and the tasks that belong to it."""

from __future__ import annotations

from importlib import resources
from typing import TYPE_CHECKING

import forthwith
from app import http
from forthwith import ExponentialBackoffStrategy

if TYPE_CHECKING:
    from procrastinate.app import WorkerOptions
    from typing_extensions import Unpack

__all__ = ["ExponentialBackoffStrategy", "Relay", "app"]


class Relay(forthwith.App):
    """An app whose workers find the relay's table, and close the HTTP client when they stop."""

    async def apply_relay_schema_async(self) -> None:
        """Create the relay's own table, unless it is there."""
        statement = resources.files("app").joinpath("schema.sql").read_text(encoding="utf-8")
        await self.connector.execute_query_async(statement)

    async def run_worker_async(self, **options: Unpack[WorkerOptions]) -> int | None:  # type: ignore[override]
        """Run a worker, see `forthwith.App.run_worker_async`."""
        await self.apply_relay_schema_async()
        try:
            return await super().run_worker_async(**options)
        finally:
            await http.close()


#: Uses FORTHWITH_DATABASE_URL, or else the embedded PostgreSQL.
app = Relay(import_paths=["app.tasks"])
