"""Fetching a resource: its effect happens exactly once, even if a worker dies in the middle."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import psycopg
import pytest

import forthwith
from tests.app.relay import Relay, running_relay
from tests.support.waiting import wait_until_sync

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def relay(database_url: str, tmp_path: Path) -> Iterator[Relay]:
    """A relay without a worker; these tests start worker processes."""
    with running_relay(database_url, tmp_path) as relay:
        yield relay


def defer_fetch(relay: Relay, name: str) -> tuple[int, str]:
    """Defer the fetch of a resource of the receiver; return the job's id and the URL."""
    url = f"{relay.receiver.base_url}/resource/{name}"
    with forthwith.App(relay.database_url).open() as app:
        deferrer = app.configure_task("app.tasks.fetch_resource", queue="resources")
        return deferrer.defer(url=url), url


def cached(relay: Relay, url: str) -> tuple[bytes, int]:
    """Return the cached body, and how many jobs have written it."""
    with closing(psycopg.connect(relay.database_url)) as connection:
        row = connection.execute(
            "select body, fetch_count from cached_resource where url = %s", [url]
        ).fetchone()
    assert row is not None
    return row


def test_each_fetch_updates_the_cache_once(relay: Relay) -> None:
    relay.start_worker()
    for _ in range(3):
        job_id, url = defer_fetch(relay, "page")
        assert relay.finished_job(job_id)["status"] == "succeeded"

    assert cached(relay, url) == (b"this is page", 3)


def test_fetch_interrupted_by_a_kill_has_its_effect_once(relay: Relay) -> None:
    victim = relay.start_worker()
    job_id, url = defer_fetch(relay, "stuck")
    wait_until_sync(lambda: relay.receiver.get("/fetches").json().get("stuck") == 1)

    relay.children.kill(victim)
    relay.start_worker()

    job = relay.finished_job(job_id)
    assert job["status"] == "succeeded"
    assert [error["kind"] for error in job["errors"]] == ["crashed"]
    assert relay.receiver.get("/fetches").json()["stuck"] == 2
    assert cached(relay, url) == (b"this is stuck", 1)
