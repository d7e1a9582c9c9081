"""Running relays, one for a module's tests: each test has endpoints and events of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.app.relay import Relay, running_relay

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def relay(module_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Relay]:
    """A relay that runs its worker inside the service."""
    logs = tmp_path_factory.mktemp("relay")
    with running_relay(module_database_url, logs, RELAY_RUN_WORKER="1") as relay:
        yield relay


@pytest.fixture(scope="module")
def idle_relay(
    module_database_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Relay]:
    """A relay without a worker: what it accepts stays waiting."""
    with running_relay(module_database_url, tmp_path_factory.mktemp("relay")) as relay:
        yield relay
