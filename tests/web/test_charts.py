"""What charts show, and how far back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from forthwith.errors import InvalidArgument
from forthwith.operations import TallyPoint
from forthwith.web.pages.chart import DAY, HOUR, History, span_of

if TYPE_CHECKING:
    import httpx

AT = datetime(2030, 1, 1, tzinfo=UTC)


def point(step: int, **ended: int) -> TallyPoint:
    counts = dict.fromkeys(("succeeded", "failed", "retried", "aborted", "crashed"), 0) | ended
    at = AT + timedelta(minutes=step)
    return TallyPoint(at=at, step_s=60, run_mean_s=None, wait_mean_s=None, **counts)


def test_charts_tell_what_did_not_succeed_and_nothing_where_nothing_ended() -> None:
    history = History(
        HOUR, [point(0, succeeded=6, failed=1, crashed=1), point(1), point(2, retried=4)]
    )
    assert (history.ended, history.wrong, history.most, history.worst) == (12, 6, 8, 1.0)
    assert history.throughput["at"] == [AT.timestamp() + 60 * step for step in range(3)]
    shown = {series["name"]: series["values"] for series in history.throughput["series"]}
    assert shown == {"succeeded": [6, 0, 0], "not succeeded": [2, 0, 4]}
    assert [series["values"] for series in history.error_rate["series"]] == [[25.0, None, 100.0]]


def test_nothing_at_all_is_a_history_too() -> None:
    for history in (History(DAY, []), History(DAY, [point(0)])):
        assert (history.ended, history.wrong, history.most, history.worst) == (0, 0, 0, None)


def test_how_far_back_is_one_of_a_few() -> None:
    assert span_of(None) is HOUR
    assert span_of("day") is DAY
    with pytest.raises(InvalidArgument, match="since: must be hour or day, not 'year'"):
        span_of("year")


async def test_page_refuses_another_time_and_another_queue(client: httpx.AsyncClient) -> None:
    for path in ("/?since=year", "/?since=", "/queues?queue=mail&since=year"):
        answer = await client.get(path, headers={"Accept": "text/html"})
        assert answer.status_code == 422, path
        assert "must be hour or day" in answer.text, path
    assert (await client.get("/queues?queue=%00")).status_code == 422
    assert (await client.get("/queues?queue=nobody")).status_code == 200
