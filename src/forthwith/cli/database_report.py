"""What `status` tells about the database."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from forthwith import App


class DatabaseReport(NamedTuple):
    """The database behind an app; `time` is its clock, and `url` has no password."""

    url: str
    embedded: bool
    server_version: str
    schema_version: str
    migrations_pending: int
    time: datetime


async def report_database(app: App) -> DatabaseReport:
    raise NotImplementedError
