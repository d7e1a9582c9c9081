"""Somebody's webhook endpoints, for the demo and the tests: unreliable, but idempotent.

`python -m app.receiver --port 9000 --failure-rate 0.2`. It books every request in a ledger, so that
it can be asked afterwards what arrived, how often, and whether two came at once.
"""

import argparse
import asyncio
import random
from collections import Counter
from dataclasses import dataclass, field

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

FAILURE_CODES = (500, 503, 429)
#: How often an endpoint whose name starts with `flaky` refuses each event before it takes it.
FLAKY_FAILURES = 2
SLOW_S = 1.0
FOREVER_S = 3600.0


@dataclass(slots=True)
class Ledger:
    """What the endpoints have seen."""

    requests: int = 0
    refused: int = 0
    #: Requests to an endpoint that was still busy with another: the lock would not have held.
    overlaps: int = 0
    #: How often each idempotency key came.
    tries: Counter[str] = field(default_factory=Counter)
    #: How often each idempotency key was accepted.
    accepted: Counter[str] = field(default_factory=Counter)
    #: The keys that each endpoint accepted, in their order of arrival.
    arrivals: dict[str, list[str]] = field(default_factory=dict)
    busy: Counter[str] = field(default_factory=Counter)
    #: How often each resource was asked for.
    fetches: Counter[str] = field(default_factory=Counter)

    def begin(self, endpoint: str, key: str) -> None:
        """Book a request's arrival."""
        self.requests += 1
        self.tries[key] += 1
        self.overlaps += self.busy[endpoint] > 0
        self.busy[endpoint] += 1

    def end(self, endpoint: str) -> None:
        """Book that the request is over, however it went."""
        self.busy[endpoint] -= 1

    def accept(self, endpoint: str, key: str) -> bool:
        """Book an accepted event; return whether it is new."""
        self.accepted[key] += 1
        self.arrivals.setdefault(endpoint, []).append(key)
        return self.accepted[key] == 1

    def report(self) -> dict[str, int]:
        """Return the totals."""
        return {
            "requests": self.requests,
            "refused": self.refused,
            "accepted": len(self.accepted),
            "accepted_twice": sum(count > 1 for count in self.accepted.values()),
            "overlaps": self.overlaps,
        }


@dataclass(frozen=True, slots=True)
class Receiver:
    """The endpoints' behaviour: how often they fail, and how long they take at most."""

    failure_rate: float
    latency_max_s: float
    ledger: Ledger = field(default_factory=Ledger)

    async def hook(self, request: Request) -> Response:
        """Take an event, or fail now and then."""
        endpoint = request.path_params["endpoint"]
        key = request.headers["idempotency-key"]
        self.ledger.begin(endpoint, key)
        try:
            await asyncio.sleep(self._latency_s(endpoint))
            return self._answer(endpoint, key)
        finally:
            self.ledger.end(endpoint)

    def _latency_s(self, endpoint: str) -> float:
        """Return how long to take. Endpoints whose name starts with `slow` take long."""
        return SLOW_S if endpoint.startswith("slow") else random.uniform(0, self.latency_max_s)

    def _answer(self, endpoint: str, key: str) -> Response:
        if (code := self._failure(endpoint, key)) is not None:
            self.ledger.refused += 1
            return Response(status_code=code)
        is_new = self.ledger.accept(endpoint, key)
        return JSONResponse({"new": is_new})

    def _failure(self, endpoint: str, key: str) -> int | None:
        """Return the status code to refuse with, or None. Some endpoints are special."""
        if endpoint.startswith("gone"):
            return 410
        if endpoint.startswith("flaky"):
            return 500 if self.ledger.tries[key] <= FLAKY_FAILURES else None
        return random.choice(FAILURE_CODES) if random.random() < self.failure_rate else None

    async def resource(self, request: Request) -> Response:
        """Return something to be cached; the first to ask for a `stuck…` one gets no answer."""
        name = request.path_params["name"]
        self.ledger.fetches[name] += 1
        if name.startswith("stuck") and self.ledger.fetches[name] == 1:
            await asyncio.sleep(FOREVER_S)
        return PlainTextResponse(f"this is {name}")

    async def report(self, _: Request) -> Response:
        """Return the totals."""
        return JSONResponse(self.ledger.report())

    async def keys(self, _: Request) -> Response:
        """Return how often each idempotency key was accepted."""
        return JSONResponse(self.ledger.accepted)

    async def fetches(self, _: Request) -> Response:
        """Return how often each resource was asked for."""
        return JSONResponse(self.ledger.fetches)

    async def arrivals(self, request: Request) -> Response:
        """Return the keys that an endpoint accepted, in order."""
        return JSONResponse(self.ledger.arrivals.get(request.path_params["endpoint"], []))


def create(failure_rate: float = 0.0, latency_max_s: float = 0.0) -> Starlette:
    """Return the receiver as an ASGI app with an empty ledger."""
    receiver = Receiver(failure_rate, latency_max_s)
    return Starlette(
        routes=[
            Route("/hook/{endpoint}", receiver.hook, methods=["POST"]),
            Route("/resource/{name}", receiver.resource),
            Route("/report", receiver.report),
            Route("/keys", receiver.keys),
            Route("/fetches", receiver.fetches),
            Route("/arrivals/{endpoint}", receiver.arrivals),
        ]
    )


def main() -> None:
    """Serve until SIGINT or SIGTERM."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=9000)
    parser.add_argument("--failure-rate", type=float, default=0.2, help="0 to 1")
    parser.add_argument("--latency-max", type=float, default=0.02, help="seconds")
    options = parser.parse_args()
    receiver = create(options.failure_rate, options.latency_max)
    uvicorn.run(
        receiver,
        port=options.port,
        access_log=False,
        log_level="warning",
        timeout_graceful_shutdown=1,  # somebody may be stuck, see `resource`
    )


if __name__ == "__main__":
    main()
