"""The HTTP service: what it accepts, what it refuses, what it tells. No worker runs here."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
import pytest

from tests.app.relay import Relay, running_relay

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.databases import Databases


def waiting(relay: Relay, prefix: str) -> list[str]:
    """Return the ids of the waiting events that start with `prefix`, oldest first."""
    with psycopg.connect(relay.database_url) as connection:
        rows = connection.execute(
            "select args ->> 'event_id' from forthwith.job"
            " where starts_with(args ->> 'event_id', %s) order by id",
            [prefix],
        ).fetchall()
    return [event_id for (event_id,) in rows]


def test_accepted_event_is_a_waiting_job(idle_relay: Relay) -> None:
    response = idle_relay.service.post("/events", json=idle_relay.event("one", total=3))

    assert response.status_code == 202
    receipt = response.json()
    assert (receipt["event_id"], receipt["status"]) == ("one", "accepted")
    job = idle_relay.job(receipt["job_id"])
    assert (job["status"], job["queue"], job["attempts"]) == ("todo", "webhooks", 0)
    assert job["errors"] == []
    assert waiting(idle_relay, "one") == ["one"]


def test_event_without_an_id_gets_one(idle_relay: Relay) -> None:
    event = idle_relay.event("unused")
    del event["id"]

    first = idle_relay.service.post("/events", json=event).json()
    second = idle_relay.service.post("/events", json=event).json()

    assert first["event_id"] != second["event_id"]
    assert first["status"] == second["status"] == "accepted"


def test_waiting_event_is_not_accepted_twice(idle_relay: Relay) -> None:
    event = idle_relay.event("again")
    idle_relay.service.post("/events", json=event)

    response = idle_relay.service.post("/events", json=event)

    assert response.status_code == 200
    assert response.json() == {"event_id": "again", "status": "duplicate", "job_id": None}
    assert waiting(idle_relay, "again") == ["again"]


def test_bulk_keeps_order_and_reports_each_duplicate(idle_relay: Relay) -> None:
    idle_relay.service.post("/events", json=idle_relay.event("bulk-3"))
    numbers = [0, 1, 2, 3, 4, 5, 1, 6]

    response = idle_relay.service.post(
        "/events/bulk", json=[idle_relay.event(f"bulk-{number}") for number in numbers]
    )

    assert response.status_code == 202
    receipts = response.json()
    assert [receipt["event_id"] for receipt in receipts] == [f"bulk-{n}" for n in numbers]
    duplicates = [place for place, r in enumerate(receipts) if r["status"] == "duplicate"]
    assert duplicates == [3, 6]
    expected = ["bulk-3", *(f"bulk-{number}" for number in (0, 1, 2, 4, 5, 6))]
    assert waiting(idle_relay, "bulk-") == expected


def test_bulk_of_nothing_new_is_all_duplicates(idle_relay: Relay) -> None:
    events = [idle_relay.event(f"twice-{number}") for number in range(50)]
    idle_relay.service.post("/events/bulk", json=events)

    receipts = idle_relay.service.post("/events/bulk", json=events).json()

    assert {receipt["status"] for receipt in receipts} == {"duplicate"}
    assert len(waiting(idle_relay, "twice-")) == 50


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"id": ""}, 422),
        ({"id": "x" * 201}, 422),
        ({"id": "with a space"}, 422),
        ({"endpoint": None}, 422),
        ({"url": "ftp://127.0.0.1/"}, 422),
        ({"url": "no url"}, 422),
        ({"unknown": 1}, 422),
        ({"payload": "text"}, 422),
        ({"payload": {"nul": "a\0b"}}, 422),
        ({"payload": {"large": "x" * 2**20}}, 413),
    ],
    ids=lambda value: str(value)[:30].replace("\0", "0"),
)
def test_unusable_event_is_refused(
    idle_relay: Relay, change: dict[str, object], status: int
) -> None:
    event = idle_relay.event("unusable") | change

    assert idle_relay.service.post("/events", json=event).status_code == status
    bulk = idle_relay.service.post("/events/bulk", json=[idle_relay.event("fine"), event])
    assert bulk.status_code == status
    assert waiting(idle_relay, "unusable") == waiting(idle_relay, "fine") == []


@pytest.mark.parametrize("count", [0, 1001])
def test_bulk_has_a_size(idle_relay: Relay, count: int) -> None:
    events = [idle_relay.event(f"many-{number}") for number in range(count)]

    assert idle_relay.service.post("/events/bulk", json=events).status_code == 422


def test_unknown_job_is_not_found(idle_relay: Relay) -> None:
    assert idle_relay.service.get("/jobs/999999999").status_code == 404


def test_stats_count_jobs_by_status_and_queue(idle_relay: Relay) -> None:
    before = idle_relay.service.get("/stats").json()["jobs"].get("todo", 0)
    idle_relay.service.post("/events", json=idle_relay.event("counted"))

    stats = idle_relay.service.get("/stats").json()

    assert stats["jobs"]["todo"] == before + 1
    (webhooks,) = (queue for queue in stats["queues"] if queue["name"] == "webhooks")
    assert webhooks["todo"] == before + 1


def test_health_says_why_when_the_database_is_away(databases: Databases, tmp_path: Path) -> None:
    name, url = databases.create_clone()
    with running_relay(url, tmp_path) as relay:
        assert relay.service.get("/health").json() == {"status": "ok"}
        databases.drop(name)

        response = relay.service.get("/health")
        assert response.status_code == 503
        assert response.json()["status"] == "unavailable"
        assert response.json()["reason"].startswith("the database")
        refused = relay.service.post("/events", json=relay.event("nowhere"))
        assert refused.status_code == 503


def test_health_says_when_the_schema_is_missing(databases: Databases, tmp_path: Path) -> None:
    name, url = databases.create_clone()
    try:
        with running_relay(url, tmp_path) as relay:
            with psycopg.connect(url) as connection:
                connection.execute("drop schema forthwith cascade")

            response = relay.service.get("/health")
            assert response.status_code == 503
            assert "schema" in response.json()["reason"]
    finally:
        databases.drop(name)
