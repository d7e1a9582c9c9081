"""docs/reference/compatibility.md names a test for each line, and no test is left out."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

FOLDER = Path(__file__).parent
ROOT = FOLDER.parents[1]
PAGE = ROOT / "docs" / "reference" / "compatibility.md"
VERDICTS = {"same", "better", "not there"}
TEST_ID = re.compile(r"`([\w/]+\.py::[\w:]+)`")


class Line(NamedTuple):
    """A line of one of the page's tables."""

    item: str
    verdict: str
    differs: str
    tests: list[str]


def lines() -> list[Line]:
    """Return the lines of all tables that have a column for tests."""
    found = []
    for text in PAGE.read_text().splitlines():
        cells = [cell.strip() for cell in text.strip("|").split(" | ")]
        if text.startswith("| ") and len(cells) == 4 and cells[0] != "item":
            found.append(Line(cells[0], cells[1], cells[2], TEST_ID.findall(cells[3])))
    return found


def full(test_id: str) -> str:
    """Return the id as pytest shows it: the page leaves out this folder."""
    return test_id if "/" in test_id else f"tests/acceptance/{test_id}"


@pytest.fixture(scope="module")
def collected() -> set[str]:
    """The ids that pytest collects in the files that the page names, and in this folder."""
    files = {full(test_id).split("::")[0] for line in lines() for test_id in line.tests}
    collection = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider"),
            *sorted(files | {"tests/acceptance"}),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert collection.returncode == 0, collection.stdout + collection.stderr
    return {text.split("[")[0] for text in collection.stdout.splitlines() if "::" in text}


def test_each_line_has_a_verdict_and_a_test() -> None:
    assert len(lines()) > 100
    for line in lines():
        assert line.verdict in VERDICTS, line
        assert line.tests, line
        assert line.verdict == "same" or line.differs, line


def test_every_test_on_the_page_exists(collected: set[str]) -> None:
    named = {full(test_id) for line in lines() for test_id in line.tests}
    assert not named - collected


def test_every_acceptance_test_is_on_the_page(collected: set[str]) -> None:
    named = {full(test_id) for line in lines() for test_id in line.tests}
    ours = {
        test_id
        for test_id in collected
        if test_id.startswith("tests/acceptance/") and "test_compatibility_page.py" not in test_id
    }
    assert not ours - named
