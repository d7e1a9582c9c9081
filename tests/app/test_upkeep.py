"""Upkeep: what is old goes, what is not stays."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import psycopg

import forthwith

if TYPE_CHECKING:
    from tests.app.relay import Relay


def test_upkeep_drops_what_is_old(relay: Relay) -> None:
    receipts = relay.service.post(
        "/events/bulk", json=[relay.event(name, endpoint=name) for name in ("old", "new")]
    ).json()
    old, new = (receipt["job_id"] for receipt in receipts)
    for job_id in (old, new):
        relay.finished_job(job_id)
    with closing(psycopg.connect(relay.database_url, autocommit=True)) as connection:
        connection.execute(
            "update forthwith.finished_job set finished_at = now() - interval '8 days'"
            " where id = %s",
            [old],
        )
        connection.execute(
            "insert into cached_resource values"
            " ('http://old', '', '', now() - interval '25 hours', 1),"
            " ('http://new', '', '', now() - interval '23 hours', 1)"
        )

        with forthwith.App(relay.database_url).open() as app:
            upkeep = app.configure_task("app.tasks.prune_old_rows", queue="upkeep")
            assert relay.finished_job(upkeep.defer(timestamp=0))["status"] == "succeeded"

        urls = connection.execute("select url from cached_resource").fetchall()
    assert urls == [("http://new",)]
    assert relay.service.get(f"/jobs/{old}").status_code == 404
    assert relay.service.get(f"/jobs/{new}").status_code == 200
