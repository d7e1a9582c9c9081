"""`forthwith jobs` lists jobs and shows one in detail."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from forthwith.cli.documents import ATTEMPT_KEYS, JOB_KEYS, LISTED_JOB_KEYS

if TYPE_CHECKING:
    from tests.cli.command_line import CommandLine

DETAILS = {
    "failed_attempts",
    "crashes_max",
    "waits_for",
    "timeline",
    "progress",
    "result",
    "traceparent",
}
HOSTILE = "[red]\x1b]0;title\x07\u202e[/red]"


def defer(cli: CommandLine, task: str = "t", *options: str) -> int:
    return int(cli.run("defer", "--unknown", task, *options).stdout)


def ids(cli: CommandLine, *options: object) -> list[int]:
    document = cli.run("jobs", "--json", *options).document()
    return [job["id"] for job in document["jobs"]]


def test_an_empty_database_has_no_jobs(forthwith_cli: CommandLine) -> None:
    assert forthwith_cli.run("jobs").stdout == "No jobs.\n"
    assert forthwith_cli.run("jobs", "--json").document() == {"jobs": [], "next_before": None}


def test_jobs_are_listed_newest_first_a_line_each(forthwith_cli: CommandLine) -> None:
    first = defer(forthwith_cli, "first", '{"n": 1}')
    second = defer(forthwith_cli, "second", "--queue", "mail", "--in", "2h")
    head, *rows = forthwith_cli.run("jobs").stdout.splitlines()
    assert head.split()[:5] == ["id", "state", "queue", "task", "arguments"]
    assert [row.split()[:4] for row in rows] == [
        [str(second), "scheduled", "mail", "second"],
        [str(first), "ready", "default", "first"],
    ]
    assert '{"n": 1}' in rows[1]


def test_conditions_select_jobs(forthwith_cli: CommandLine) -> None:
    plain = defer(forthwith_cli)
    queued = defer(forthwith_cli, "t", "--queue", "mail")
    locked = defer(forthwith_cli, "u", "--lock", "L")
    forthwith_cli.run("cancel", plain)
    assert ids(forthwith_cli) == [locked, queued, plain]
    assert ids(forthwith_cli, "--status", "cancelled") == [plain]
    assert ids(forthwith_cli, "--status", "todo") == [locked, queued]
    assert ids(forthwith_cli, "--queue", "mail") == [queued]
    assert ids(forthwith_cli, "--task", "u") == [locked]
    assert ids(forthwith_cli, "--lock", "L") == [locked]


def test_more_conditions_select_jobs(forthwith_cli: CommandLine) -> None:
    ready = defer(forthwith_cli, "t", '{"to": "Ada"}')
    later = defer(forthwith_cli, "t", "--in", "1h")
    failed = defer(forthwith_cli, "break", "--queue", "mail")
    forthwith_cli.run("--app", "shop:app", "worker", "--one-shot", "--queues", "mail")
    assert ids(forthwith_cli, "--state", "scheduled") == [later]
    assert ids(forthwith_cli, "--text", '"ada"') == [ready]
    assert ids(forthwith_cli, "--error", "ValueError") == [failed]
    worker = forthwith_cli.run("job", failed, "--json").document()["worker_id"]
    assert ids(forthwith_cli, "--worker", worker) == [failed]
    assert ids(forthwith_cli, "--since", "1h", "--cursor", failed) == [later, ready]
    assert ids(forthwith_cli, "--until", "1h") == []
    assert ids(forthwith_cli, "--ended", "1h") == [failed]
    refused = forthwith_cli.run("jobs", "--since", "yesterday")
    assert refused.code == 2
    assert "--since: 'yesterday' is neither" in refused.stderr


def test_pages_follow_each_other(forthwith_cli: CommandLine) -> None:
    deferred = [defer(forthwith_cli) for _ in range(3)]
    page = forthwith_cli.run("jobs", "--limit", "2", "--json").document()
    assert [job["id"] for job in page["jobs"]] == deferred[:0:-1]
    assert page["next_before"] == deferred[1]
    assert f"--before {deferred[1]}" in forthwith_cli.run("jobs", "--limit", "2").stderr
    last = forthwith_cli.run("jobs", "--before", page["next_before"], "--json").document()
    assert [job["id"] for job in last["jobs"]] == deferred[:1]
    assert last["next_before"] is None


def test_a_job_has_the_documented_keys(forthwith_cli: CommandLine) -> None:
    job_id = defer(forthwith_cli)
    [listed] = forthwith_cli.run("jobs", "--json").document()["jobs"]
    assert set(listed) == set(LISTED_JOB_KEYS) > set(JOB_KEYS)
    shown = forthwith_cli.run("job", job_id, "--json").document()
    assert listed.items() <= shown.items()
    assert set(shown) - set(listed) == DETAILS
    assert shown["failed_attempts"] == []


def test_a_failed_job_shows_its_tracebacks(forthwith_cli: CommandLine) -> None:
    job_id = defer(forthwith_cli, "break", "--queue", "mail")
    forthwith_cli.run("--app", "shop:app", "worker", "--one-shot")
    text = forthwith_cli.run("jobs", job_id).stdout
    assert "failed" in text
    assert "no milk today" in text
    assert "    Traceback (most recent call last):" in text
    document = forthwith_cli.run("jobs", job_id, "--json").document()
    assert document["status"] == "failed"
    [attempt] = document["failed_attempts"]
    assert set(attempt) == set(ATTEMPT_KEYS)
    assert (attempt["attempt"], attempt["kind"]) == (1, "failed")
    assert attempt["message"] == "no milk today"
    assert "ValueError" in attempt["traceback"]


def test_an_unknown_job_exits_with_6(forthwith_cli: CommandLine) -> None:
    ran = forthwith_cli.run("jobs", 4711)
    assert (ran.code, ran.stdout) == (6, "")
    assert ran.stderr == "forthwith: there is no job 4711\n"


def test_hostile_text_is_neutralised(forthwith_cli: CommandLine) -> None:
    arguments = json.dumps({"message": HOSTILE})
    job_id = defer(forthwith_cli, "break", arguments, "--queue", HOSTILE, "--lock", HOSTILE)
    forthwith_cli.run("--app", "shop:app", "worker", "--one-shot")
    defer(forthwith_cli, HOSTILE)
    names = ("jobs", "queues", "status", "workers", "tasks", "locks", "periodic", "top")
    shown: list[tuple[object, ...]] = [(name,) for name in names]
    shown += [("job", job_id), ("job", job_id, "--json"), ("queues", "--by-status")]
    shown += [("retry", "--where", "state=failed", "--dry-run")]
    for arguments_ in shown:
        ran = forthwith_cli.run(*arguments_)
        assert ran.code == 0
        assert not {"\x1b", "\x07", "\u202e"} & set(ran.stdout + ran.stderr), arguments_
    # Markup is shown, not followed.
    assert "[red]" in forthwith_cli.run("jobs").stdout
    assert forthwith_cli.run("jobs", job_id, "--json").document()["queue"] == HOSTILE


def test_wide_values_are_cut_in_tables_alone(forthwith_cli: CommandLine) -> None:
    wide = "x" * 5000
    job_id = defer(forthwith_cli, "t", json.dumps({"wide": wide}))
    table = forthwith_cli.run("jobs")
    assert max(map(len, table.stdout.splitlines())) < 300
    assert "…" in table.stdout
    assert wide in forthwith_cli.run("jobs", job_id).stdout
    assert wide in forthwith_cli.run("jobs", "--json").stdout


def test_a_narrow_terminal_keeps_ids_and_statuses(forthwith_cli: CommandLine) -> None:
    job_id = defer(forthwith_cli, "a_task_with_a_long_name" * 3)
    _head, row = forthwith_cli.run("jobs", COLUMNS="70").stdout.splitlines()
    assert len(row) <= 70
    assert row.split()[:2] == [str(job_id), "ready"]
