"""`make results`: run the two founding suites and write down what was measured.

TEST_RESULTS.md gets every test with its outcome, duration and figures; TESTING_SUMMARY.md the
overview. Nothing in them is typed by hand: outcomes, durations and figures come from pytest's JUnit
report, conditions from the machine and the server that the tests ran on.
"""

from __future__ import annotations

import json
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from tools.conditions import Conditions, measure_conditions

ROOT = Path(__file__).parents[1]
REPORT = ROOT / ".forthwith" / "results" / "junit.xml"
SUITES = {
    "Durability": "tests/test_durability.py",
    "Throughput": "tests/test_throughput.py",
}
#: What the names of the figures in the report start with.
FIGURE = "figure:"
WRITTEN_BY = (
    "Written by `make results` from what it measured; do not edit. "
    "[tests/TEST_GUIDE.md](tests/TEST_GUIDE.md) says how to run and extend the tests."
)

EXPLANATION = """\
The tests run on a real PostgreSQL, each in a database of its own, and use worker processes that
are killed and stopped where a worker's life matters. They assert counts, orders, states and ratios
within a run, never a rate by the clock: the figures below depend on the machine and are only
reported. Each test by itself is in [TEST_RESULTS.md](TEST_RESULTS.md)."""


@dataclass(frozen=True, slots=True)
class Figure:
    """Something that a test measured."""

    name: str
    value: float
    unit: str

    def __str__(self) -> str:
        return f"{_rounded(self.value)} {self.unit}".rstrip()


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one test."""

    file: str
    group: str
    name: str
    outcome: str
    duration_s: float
    figures: tuple[Figure, ...]


def main(arguments: list[str]) -> int:
    """Run the suites, write the documents, return pytest's exit status."""
    REPORT.parent.mkdir(parents=True, exist_ok=True)
    REPORT.unlink(missing_ok=True)
    status, last_line = _run_suites(arguments)
    if not REPORT.exists():
        print("pytest wrote no report; the documents stay as they were.", file=sys.stderr)
        return status or 1
    results = read_report(REPORT.read_text(encoding="utf-8"))
    conditions = measure_conditions()
    _write("TEST_RESULTS.md", test_results(results, conditions, last_line))
    _write("TESTING_SUMMARY.md", testing_summary(results, conditions))
    return status


def _run_suites(arguments: list[str]) -> tuple[int, str]:
    """Run pytest one test at a time, so that tests do not disturb each other's figures.

    Returns its exit status and its last line. What it prints is passed on as it comes.
    """
    command = [sys.executable, "-m", "pytest", *SUITES.values(), "-v", "-s", "--color=no"]
    report = [f"--junit-xml={REPORT}", "-o", "junit_family=xunit1"]
    last_line = ""
    with subprocess.Popen(  # noqa: S603  # pytest itself, with the arguments of our own caller
        [*command, *report, *arguments], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as process:
        for line in process.stdout or ():
            print(line, end="", flush=True)
            last_line = line.strip() or last_line
    return process.returncode, last_line


def read_report(xml: str) -> list[Result]:
    """Return the results in a JUnit report (pytest's own, so it is trusted)."""
    root = ElementTree.fromstring(xml)  # noqa: S314
    return [_read_case(case) for case in root.iter("testcase")]


def _read_case(case: ElementTree.Element) -> Result:
    *module, group = case.attrib["classname"].split(".")
    return Result(
        file="/".join(module) + ".py",
        group=group,
        name=case.attrib["name"],
        outcome=_outcome(case),
        duration_s=float(case.attrib["time"]),
        figures=tuple(
            Figure(
                entry.attrib["name"].removeprefix("figure:"), **json.loads(entry.attrib["value"])
            )
            for entry in case.iter("property")
            if entry.attrib["name"].startswith("figure:")
        ),
    )


def _outcome(case: ElementTree.Element) -> str:
    for tag, outcome in (("failure", "failed"), ("error", "error"), ("skipped", "skipped")):
        if case.find(tag) is not None:
            return outcome
    return "passed"


def test_results(results: list[Result], conditions: Conditions, last_line: str) -> str:
    """Return the text of TEST_RESULTS.md."""
    parts = ["# Test results", WRITTEN_BY, _totals(results), f"```text\n{last_line}\n```"]
    for title, file in SUITES.items():
        parts += _suite(title, file, [result for result in results if result.file == file])
    return "\n\n".join([*parts, "## Conditions", conditions.as_table()]) + "\n"


def _suite(title: str, file: str, results: list[Result]) -> list[str]:
    parts = [f"## {title}: {_passed(results)}", f"```sh\npytest {file} -v\n```"]
    for group, members in groupby(results, key=lambda result: result.group):
        rows = [
            f"| {result.name} | {result.outcome} | {result.duration_s:.2f} s | "
            + "; ".join(f"{figure.name}: {figure}" for figure in result.figures)
            + " |"
            for result in members
        ]
        head = ["| test | outcome | duration | measured |", "|---|---|---|---|"]
        parts += [f"### {group}", "\n".join([*head, *rows])]
    return parts


def testing_summary(results: list[Result], conditions: Conditions) -> str:
    """Return the text of TESTING_SUMMARY.md."""
    rows = ["| suite | tests | passed | duration |", "|---|---|---|---|"]
    for title, file in SUITES.items():
        suite = [result for result in results if result.file == file]
        passed = sum(result.outcome == "passed" for result in suite)
        duration_s = sum(result.duration_s for result in suite)
        rows.append(f"| {title} (`{file}`) | {len(suite)} | {passed} | {duration_s:.1f} s |")
    figures = ["| measured | value | in |", "|---|---|---|"]
    figures += [
        f"| {figure.name} | {figure} | `{result.name}` |"
        for result in results
        for figure in result.figures
    ]
    parts = [
        "# Testing summary",
        WRITTEN_BY,
        _totals(results),
        "\n".join(rows),
        EXPLANATION,
        "## Figures",
        "\n".join(figures),
        "## Conditions",
        conditions.as_table(),
    ]
    return "\n\n".join(parts) + "\n"


def _totals(results: list[Result]) -> str:
    duration_s = sum(result.duration_s for result in results)
    failed = [f"`{result.name}` ({result.outcome})" for result in results if _is_bad(result)]
    text = f"**{_passed(results)}** in {duration_s:.1f} s."
    return f"{text} Not passed: {', '.join(failed)}." if failed else text


def _passed(results: list[Result]) -> str:
    return f"{len(results) - sum(map(_is_bad, results))} of {len(results)} passed"


def _is_bad(result: Result) -> bool:
    return result.outcome != "passed"


def _rounded(value: float) -> str:
    """Return three significant digits, which is more than the figures can promise."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _write(name: str, text: str) -> None:
    (ROOT / name).write_text(text, encoding="utf-8")
    print(f"Wrote {name}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
