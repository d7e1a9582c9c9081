"""From metric families to the text that Prometheus reads."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector, CollectorRegistry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from prometheus_client import Metric


class Exposition(NamedTuple):
    """What a scrape is answered."""

    content_type: str
    body: bytes


class Source(Protocol):
    """Where metric families come from."""

    def collect(self) -> Iterable[Metric]: ...


def exposition(accept: str, *sources: Source) -> Exposition:
    """Return what these sources tell now, in the format that fits the Accept header."""
    registry = CollectorRegistry(auto_describe=False)
    for source in sources:
        registry.register(_Collector(source.collect))
    encode, content_type = choose_encoder(accept)
    return Exposition(content_type, encode(registry))


class _Collector(Collector):
    def __init__(self, collect: Callable[[], Iterable[Metric]]) -> None:
        self._collect = collect

    def describe(self) -> Iterable[Metric]:
        return ()  # so that registering does not collect

    def collect(self) -> Iterable[Metric]:
        return self._collect()
