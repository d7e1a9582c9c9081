"""Deliveries, by a worker inside the service, to a receiver with known faults."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

from contextlib import closing

import psycopg

from tests.app.relay import Relay, running_relay
from tests.support.waiting import wait_until_sync


def post(relay: Relay, *events: dict[str, object]) -> list[int]:
    """Post events in bulk and return their jobs' ids."""
    response = relay.service.post("/events/bulk", json=list(events))
    assert response.status_code == 202, response.text
    return [receipt["job_id"] for receipt in response.json()]


def test_event_is_delivered_with_its_idempotency_key(relay: Relay) -> None:
    (job_id,) = post(relay, relay.event("plain", endpoint="plain"))

    assert relay.finished_job(job_id)["status"] == "succeeded"
    assert relay.receiver.get("/arrivals/plain").json() == ["plain"]


def test_refused_event_is_retried_until_it_is_taken(relay: Relay) -> None:
    (job_id,) = post(relay, relay.event("bumpy", endpoint="flaky"))

    job = relay.finished_job(job_id)

    assert job["status"] == "succeeded"
    assert [error["attempt"] for error in job["errors"]] == [1, 2]
    assert {error["kind"] for error in job["errors"]} == {"failed"}
    assert all("answered 500" in error["message"] for error in job["errors"])
    assert all("DeliveryError" in error["traceback"] for error in job["errors"])
    assert relay.receiver.get("/arrivals/flaky").json() == ["bumpy"]


def test_endpoint_that_is_gone_is_not_tried_again(relay: Relay) -> None:
    (job_id,) = post(relay, relay.event("unwanted", endpoint="gone"))

    job = relay.finished_job(job_id)

    assert job["status"] == "failed"
    (error,) = job["errors"]
    assert error["exception_type"].endswith("EndpointGoneError")
    assert relay.receiver.get("/arrivals/gone").json() == []


def test_unreachable_receiver_is_retried(relay: Relay) -> None:
    event = relay.event("nobody") | {"url": "http://127.0.0.1:9/hook/nobody"}
    (job_id,) = post(relay, event)

    job = relay.finished_job(job_id)

    assert job["status"] == "failed"
    assert job["attempts"] == len(job["errors"]) == 12


def test_deliveries_to_an_endpoint_keep_their_order(relay: Relay) -> None:
    ids = [f"ordered-{number:02}" for number in range(40)]
    others = [relay.event(f"other-{number}", endpoint=f"other-{number}") for number in range(40)]

    mixed = []
    for event_id, other in zip(ids, others, strict=True):
        mixed += [relay.event(event_id, endpoint="ordered"), other]
    jobs = post(relay, *mixed)

    assert {relay.finished_job(job_id)["status"] for job_id in jobs} == {"succeeded"}
    assert relay.receiver.get("/arrivals/ordered").json() == ids
    assert relay.receiver.get("/report").json()["overlaps"] == 0


def test_delivered_event_may_come_again_under_the_same_key(relay: Relay) -> None:
    event = relay.event("returning", endpoint="returning")
    (first,) = post(relay, event)
    relay.finished_job(first)

    (second,) = post(relay, event)
    relay.finished_job(second)

    assert relay.receiver.get("/arrivals/returning").json() == ["returning", "returning"]


def test_service_that_stops_finishes_what_it_delivers(database_url: str, tmp_path: Path) -> None:
    with running_relay(database_url, tmp_path, RELAY_RUN_WORKER="1") as relay:
        (job_id,) = post(relay, relay.event("last", endpoint="slow"))
        wait_until_sync(lambda: relay.receiver.get("/report").json()["requests"] == 1)

        relay.service_process.process.terminate()
        relay.service_process.process.wait(timeout=30)

        assert relay.receiver.get("/arrivals/slow").json() == ["last"]
    with closing(psycopg.connect(database_url)) as connection:
        query = "select status::text, attempts from forthwith.finished_job where id = %s"
        assert connection.execute(query, [job_id]).fetchall() == [("succeeded", 1)]
        assert connection.execute("select from forthwith.failed_attempt").rowcount == 0
