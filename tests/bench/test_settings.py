"""What is chosen, and what is refused."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from forthwith.bench.laboratory import unaffordable
from forthwith.bench.place import refusal
from forthwith.bench.scenarios import ALL, chosen
from forthwith.bench.settings import BenchSettings, quick
from forthwith.errors import InvalidArgument


def test_scenarios_are_chosen_by_name_and_number_in_their_order() -> None:
    assert chosen(["retries", "S1", " full_tables"]) == ("burn-down", "full-tables", "retries")
    assert chosen(["all"]) == tuple(ALL)
    assert chosen([]) == ("burn-down", "steady", "pickup", "defers")


@pytest.mark.parametrize(
    ("name", "words"), [("s10", "`forthwith verify`"), ("faults", "verify"), ("speed", "knows no")]
)
def test_scenario_that_is_not_there_is_named(name: str, words: str) -> None:
    with pytest.raises(InvalidArgument, match=words):
        chosen([name])


def test_quick_look_is_never_larger_than_what_was_asked_for() -> None:
    settings = BenchSettings(home=Path(), scenarios=(), jobs=500, seconds=60.0)
    look = quick(settings)
    assert (look.jobs, look.seconds, look.rounds) == (500, 1.0, 1)


def test_scenario_that_needs_too_many_connections_is_left_out() -> None:
    settings = BenchSettings(home=Path(), scenarios=("burn-down", "idle"), idle_workers=10)
    found = unaffordable(settings, connections_free=40)
    assert list(found) == ["idle"]
    assert "the server has 40 free" in found["idle"]


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ({"pooled": True}, "a pooler"),
        ({"standby": True}, "a standby"),
        ({"read_only": True}, "read-only"),
        ({"may_create": False}, 'grant create on database "d b" to "ada"'),
    ],
)
def test_database_that_cannot_be_used_is_refused(what: dict[str, bool], words: str) -> None:
    fine = {"pooled": False, "standby": False, "read_only": False, "may_create": True}
    assert refusal(**fine, user="ada", database="d b") is None
    assert words in (refusal(**{**fine, **what}, user="ada", database="d b") or "")


def test_importing_forthwith_imports_nothing_of_the_lab() -> None:
    code = (
        "import sys, forthwith; "
        "print([name for name in sys.modules if name.startswith('forthwith.bench') "
        "or name.partition('.')[0] in ('matplotlib', 'numpy', 'rich')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
