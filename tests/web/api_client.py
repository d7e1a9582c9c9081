"""Asks the API for jobs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import httpx


async def jobs(client: httpx.AsyncClient, **query: Any) -> dict[str, Any]:
    """Return the page of jobs that a query finds."""
    response = await client.get("/api/jobs", params=query)
    assert response.status_code == 200, response.text
    page: dict[str, Any] = response.json()
    return page


async def found(client: httpx.AsyncClient, **query: Any) -> list[int]:
    """Return the ids of these jobs."""
    return [job["id"] for job in (await jobs(client, **query))["jobs"]]
