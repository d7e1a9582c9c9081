"""What `migrate --check` wants to know of the schema."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from forthwith import App


async def pending_migrations(app: App) -> list[str]:
    """Return the names of the migrations that the database lacks, in order."""
    return await app.pending_migrations_async()
