"""The events that the demo sends, as a client of the relay would send them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import httpx

from app.demo.children import DemoError

if TYPE_CHECKING:
    from collections.abc import Iterable

SENDERS = 8
#: Of each so many events, the first few are posted one by one and the rest in bulk.
GROUP_SIZE = 100
SINGLES = 10


@dataclass(slots=True)
class Load:
    """Sends events and remembers what the relay acknowledged."""

    service_url: str
    receiver_url: str
    endpoints: int
    #: The job of each accepted event, by the event's id.
    accepted: dict[str, int] = field(default_factory=dict)

    async def send(self, count: int) -> None:
        """Post `count` events with a few senders at once."""
        posts: list[range] = []
        for start in range(0, count, GROUP_SIZE):
            group = range(start, min(start + GROUP_SIZE, count))
            posts += [range(number, number + 1) for number in group[:SINGLES]]
            posts += [group[SINGLES:]] if group[SINGLES:] else []
        waiting = iter(posts)
        async with httpx.AsyncClient(
            base_url=self.service_url, timeout=30, trust_env=False
        ) as client:
            await asyncio.gather(*(self._post_all(client, waiting) for _ in range(SENDERS)))

    async def _post_all(self, client: httpx.AsyncClient, waiting: Iterable[range]) -> None:
        for numbers in waiting:
            await self._post([self._event(number) for number in numbers], client)

    async def _post(self, events: list[dict[str, Any]], client: httpx.AsyncClient) -> None:
        if len(events) == 1:
            response = await client.post("/events", json=events[0])
        else:
            response = await client.post("/events/bulk", json=events)
        if response.status_code != httpx.codes.ACCEPTED:
            raise DemoError(f"the service answered {response.status_code}: {response.text}")
        receipts = response.json()
        for receipt in receipts if isinstance(receipts, list) else [receipts]:
            self.accepted[receipt["event_id"]] = receipt["job_id"]

    def _event(self, number: int) -> dict[str, Any]:
        endpoint = f"shop-{number % self.endpoints:03}"
        return {
            "id": f"order-{number:06}",
            "endpoint": endpoint,
            "url": f"{self.receiver_url}/hook/{endpoint}",
            "payload": {"kind": "order.paid", "order": number, "cents": 100 + number * 7 % 9_900},
        }
