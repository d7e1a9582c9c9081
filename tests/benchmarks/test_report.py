"""The benchmark's tables, goals and report: pure functions of a result."""

from __future__ import annotations

from benchmarks import goals, report, table
from benchmarks.results import PeerResult, Result, Run

PEERS = [
    PeerResult("forthwith", "forthwith", "1"),
    PeerResult("pgqueuer", "PgQueuer", "2"),
    PeerResult("procrastinate", "Procrastinate", "3"),
    PeerResult("absent", "Absent", unavailable="no such binary"),
]


def burn_down(peer: str, number: int, jobs_per_s: float, **more: object) -> Run:
    """A run of the first scenario."""
    values = {"jobs_per_s": jobs_per_s, "jobs_per_s_from_first_start": 1.0, "deferred_per_s": 2.0}
    return Run("burn_down", "", peer, number, 1000, values, **more)  # type: ignore[arg-type]


def result(*runs: Run) -> Result:
    """A result with these runs."""
    return Result({"cores": "4"}, PEERS, list(runs))


def rows(found: Result, title: str) -> list[list[str]]:
    """The rows of one table."""
    [wanted] = [one for one in table.tables(found) if one.title.startswith(title)]
    return wanted.rows


def test_median_and_spread_and_ratio() -> None:
    runs = [burn_down("forthwith", n, value) for n, value in enumerate([900.0, 1000.0, 1200.0])]
    found = rows(result(*runs, burn_down("pgqueuer", 1, 250.0)), "burn_down")
    assert found[0][:4] == ["forthwith 1", "1,000", "3", "1,000 (900 to 1,200)"]
    assert found[0][-1] == ""
    assert found[1][3] == "250"
    assert found[1][-1] == "4.0x"


def test_who_has_no_number_is_in_the_table_and_says_why() -> None:
    found = rows(
        result(
            burn_down("forthwith", 1, 1000.0),
            burn_down("pgqueuer", 1, 10.0, problems=["1 jobs lost"]),
            burn_down("procrastinate", 1, 10.0, not_offered="not offered: x"),
        ),
        "burn_down",
    )
    assert [row[1] for row in found] == ["1,000", "failed", "not offered", "unavailable"]


def test_a_run_that_lost_a_job_is_a_note() -> None:
    found = result(burn_down("pgqueuer", 2, 10.0, problems=["1 jobs lost"]))
    assert table.notes(found) == [
        "Absent could not be set up: no such binary",
        "burn_down, pgqueuer, round 2: 1 jobs lost",
    ]


def test_problems_can_be_asked_of_one_peer() -> None:
    found = result(
        burn_down("pgqueuer", 2, 10.0, problems=["1 jobs lost"]),
        burn_down("forthwith", 1, 10.0, problems=["2 jobs lost"]),
    )
    assert found.problems("forthwith") == ["burn_down, forthwith, round 1: 2 jobs lost"]
    assert len(found.problems()) == 2


def test_each_form_has_its_rows_and_its_ratio() -> None:
    runs = [
        Run("defers", form, peer, 1, 100, {"deferred_per_s": rate})
        for peer, rates in (("forthwith", (100.0, 900.0)), ("procrastinate", (50.0, 100.0)))
        for form, rate in zip(("single 1", "single 64"), rates, strict=True)
    ]
    found = rows(result(*runs), "defers")
    ratios = {(row[0], row[1]): row[-1] for row in found}
    assert ratios["Procrastinate 3", "single 1"] == "2.0x"
    assert ratios["Procrastinate 3", "single 64"] == "9.0x"


def test_less_is_better_for_latency() -> None:
    runs = [
        Run("pickup", "", peer, 1, 100, {"p50_ms": value, "p99_ms": 9.0, "max_ms": 9.0})
        for peer, value in (("forthwith", 2.0), ("pgqueuer", 5.0))
    ]
    assert table.ratio(result(*runs), "pickup", "", "pgqueuer") == 2.5


def test_goals_name_the_nearest_peer_and_what_was_not_reached() -> None:
    found = result(
        burn_down("forthwith", 1, 1000.0),
        burn_down("pgqueuer", 1, 500.0),
        burn_down("procrastinate", 1, 4.0),
        Run("retries", "", "forthwith", 1, 10, {"jobs_per_s": 500.0}),
    )
    assert list(goals.told(found)) == [
        "burn_down: 2.0x PgQueuer; goal 2.5x: **not reached**",
        "burn_down: 250.0x Procrastinate; goal 200x",
        "retries: 50% of a burn-down; goal 40%",
    ]


def test_report_has_tables_goals_peers_and_conditions() -> None:
    text = report.render(result(burn_down("forthwith", 1, 1000.0)), "result.json")
    assert "| forthwith 1 | 1,000 | 1 | 1,000 |" in text
    assert "- Absent : no such binary" in text
    assert "- cores: 4" in text
    short = report.in_short(result(burn_down("forthwith", 1, 1000.0)))
    assert "forthwith 1 1,000" in short


def test_results_of_different_scenarios_make_one_report() -> None:
    other = Run("old_snapshot", "", "forthwith", 1, 9, {"jobs_per_s": 7.0})
    late = Result({"cores": "2"}, [PeerResult("forthwith", "forthwith", "1")], [other])
    found = report.joined([result(burn_down("forthwith", 1, 5.0)), late])
    assert [one.title.partition(":")[0] for one in table.tables(found)] == [
        "burn_down",
        "old_snapshot",
    ]
    assert found.conditions == {"cores": "4", "cores of old_snapshot": "2"}
    assert found.peers == PEERS
    assert rows(found, "old_snapshot")[1][1] == "not measured"


def test_scenario_that_was_measured_again_is_that_of_the_later_result() -> None:
    twice = [
        result(burn_down("forthwith", 1, 5.0), burn_down("pgqueuer", 1, 2.0)),
        result(burn_down("forthwith", 1, 6.0)),
    ]
    found = rows(report.joined(twice), "burn_down")
    assert [row[3:4] for row in found[:2]] == [["6"], []]
    assert found[1][1] == "not measured"


def test_scenario_that_was_measured_in_two_modes_has_a_form_for_each() -> None:
    paces = {
        mode: Run(
            "old_snapshot", "", "forthwith", 1, 9, {"jobs_per_s": 7.0, "share_of_first": share}
        )
        for mode, share in (("default", 0.8), ("full", 0.9))
    }
    dates = {"full": "2030-01-02", "default": "2030-01-01"}
    found = report.joined(
        [
            Result(
                {"mode": mode, "date": dates[mode]}, PEERS, [burn_down("forthwith", 1, 5.0), run]
            )
            if mode == "default"
            else Result({"mode": mode, "date": dates[mode]}, PEERS, [run])
            for mode, run in paces.items()
        ]
    )
    forms = [row[1] for row in rows(found, "old_snapshot") if row[0] == "forthwith 1"]
    assert forms == ["default", "full"]
    assert list(goals.told(found)) == [
        "old_snapshot default: 80% of the first tenth; goal 90%: **not reached**",
        "old_snapshot full: 90% of the first tenth; goal 90%",
    ]
    assert found.conditions["date (full) of old_snapshot"] == "2030-01-02"
    assert [row[1] for row in rows(found, "burn_down")[:1]] == ["1,000"]


def test_conditions_are_those_of_the_newest_and_of_what_is_still_shown_of_others() -> None:
    rests = [Run("retries", "", "forthwith", 1, 9, {"jobs_per_s": 7.0})]
    old = Result(
        {"date": "2030-01-01", "cpu": "slow"}, PEERS, [burn_down("forthwith", 1, 5.0), *rests]
    )
    new = Result({"date": "2030-01-02", "cpu": "fast"}, PEERS, [burn_down("forthwith", 1, 9.0)])
    found = report.joined([old, new])
    assert found.conditions == {
        "date": "2030-01-02",
        "cpu": "fast",
        "date of retries": "2030-01-01",
        "cpu of retries": "slow",
    }


def test_goal_of_latency_is_held_against_peers_on_postgresql() -> None:
    peers = [*PEERS, PeerResult("saq", "SAQ", "4")]
    runs = [
        Run("pickup", "", peer, 1, 9, {"p50_ms": p50_ms, "p99_ms": p99_ms})
        for peer, p50_ms, p99_ms in (
            ("forthwith", 2.0, 9.0),
            ("pgqueuer", 3.0, 6.0),
            ("saq", 1.0, 1.0),
        )
    ]
    assert list(goals.told(Result({}, peers, runs))) == [
        "pickup: 1.5x PgQueuer; goal 1x",
        "pickup p99: 0.7x PgQueuer; goal 1x: **not reached**",
    ]


def test_goal_of_tasks_is_held_against_peers_in_python() -> None:
    peers = [*PEERS, PeerResult("pg_boss", "pg-boss", "4")]
    runs = [
        Run("tasks", "io", peer, 1, 9, {"jobs_per_s": jobs_per_s})
        for peer, jobs_per_s in (("forthwith", 90.0), ("pgqueuer", 30.0), ("pg_boss", 80.0))
    ]
    assert list(goals.told(Result({}, peers, runs))) == ["tasks io: 3.0x PgQueuer; goal 2x"]
