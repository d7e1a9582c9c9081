"""`python -m benchmarks.report RESULT.json`: write a result into docs/benchmarks.md and README.md.

The parts between the markers are replaced; the numbers in them are never typed by hand.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from benchmarks import charts, goals, plot, table
from benchmarks.results import Result

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.results import Run

ROOT = Path(__file__).parent.parent
DOCUMENT = ROOT / "docs" / "benchmarks.md"
IMAGES = ROOT / "docs" / "images"
README = ROOT / "README.md"
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
README_BEGIN, README_END = "<!-- benchmark:start -->", "<!-- benchmark:end -->"
# Of which scenarios the README tells which column.
IN_SHORT = {"burn_down": "run", "pickup": "p50", "retries": "jobs/s", "memory": "peak"}
# In what measurements of one report may differ.
OWN_CONDITIONS = ("date", "commit", "cpu", "cores", "load_average_before", "rounds")
CONDITIONS_IN_SHORT = (
    "cores",
    "cpu",
    "postgresql fsync",
    "history",
    "worker_processes",
    "concurrency",
)


@click.command()
@click.argument(
    "results",
    nargs=-1,
    required=True,
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
)
def main(results: tuple[Path, ...]) -> None:
    """Write RESULTS into docs/benchmarks.md, their plots into docs/images, the chief table into README.md.

    Of several results, a later one replaces the scenarios that it has measured again in the same mode, and
    stands beside those of another mode; the conditions shown are those of the newest, and in what the
    others differ.
    """
    loaded = joined([Result.load(path) for path in results])
    names = ", ".join(path.name for path in results)
    stems = plot.draw_all(loaded, IMAGES)
    _replace(DOCUMENT, BEGIN, END, render(loaded, names, pictures(loaded, stems)))
    _replace(README, README_BEGIN, README_END, in_short(loaded))
    click.echo(f"Wrote {names} into {DOCUMENT.name} and {README.name}")


def joined(results: Sequence[Result]) -> Result:
    """The runs of all results: never two measurements in one.

    Of those in one mode, each scenario is from the last one that has it. One that was measured in several
    modes has each as a form of its own, by the mode's name. Conditions and peers are those of the newest
    in the default mode, with what the others have of their own.
    """
    last = {(run.scenario, _mode(result)): result for result in results for run in result.runs}
    found = {
        (scenario, mode): [run for run in result.runs if run.scenario == scenario]
        for (scenario, mode), result in last.items()
    }
    newest = max(
        results,
        key=lambda result: (_mode(result) == "default", result.conditions.get("date", "")),
    )
    conditions = dict(newest.conditions)
    for result in results:
        mode = _mode(result)
        shown = sorted(scenario for (scenario, _), source in last.items() if source is result)
        apart = "" if mode == _mode(newest) else f" ({mode})"
        for key in OWN_CONDITIONS:
            own = result.conditions.get(key, "")
            if shown and own != newest.conditions.get(key, ""):
                conditions[f"{key}{apart} of {', '.join(shown)}"] = own
    peers = {entry.peer: entry for result in (*results, newest) for entry in result.peers}
    in_order = [entry.peer for entry in newest.peers]
    order = [*in_order, *(peer for peer in peers if peer not in in_order)]
    return Result(conditions, [peers[peer] for peer in order], _forms(found))


def _mode(result: Result) -> str:
    return result.conditions.get("mode", "default")


def _forms(found: dict[tuple[str, str], list[Run]]) -> list[Run]:
    """All runs; those of a scenario that was measured in several modes are told apart."""
    times = Counter(scenario for scenario, _ in found)
    return [
        replace(run, variant=f"{run.variant} {mode}".strip()) if times[scenario] > 1 else run
        for (scenario, mode), runs in found.items()
        for run in runs
    ]


def _replace(document: Path, begin: str, end: str, section: str) -> None:
    text = document.read_text()
    if begin not in text or end not in text:
        raise click.ClickException(f"{document} lacks the markers {begin} and {end}")
    pattern = re.compile(f"{re.escape(begin)}.*{re.escape(end)}", re.DOTALL)
    document.write_text(pattern.sub(lambda _: f"{begin}\n\n{section}\n\n{end}", text))


def in_short(result: Result) -> str:
    """The chief figure of some scenarios for each peer, and the conditions that matter most."""
    titles = {table.TITLES[scenario]: heading for scenario, heading in IN_SHORT.items()}
    lines = [
        _figures(found, titles[found.title])
        for found in table.tables(result)
        if found.title in titles
    ]
    conditions = "; ".join(
        f"{key.replace('_', ' ')} {result.conditions[key]}"
        for key in CONDITIONS_IN_SHORT
        if key in result.conditions
    )
    version = result.conditions.get("postgresql server_version", "")
    return (
        "\n".join(lines)
        + f"\n\nMedians, side by side in one run; PostgreSQL {version}; {conditions}."
    )


def _figures(found: table.Table, heading: str) -> str:
    column = found.headings.index(heading)
    figures = "; ".join(
        f"{row[0]} {row[column].split(' (')[0]}" for row in found.rows if len(row) > column
    )
    return f"- {found.title} ({found.headings[column]}): {figures}"


def pictures(result: Result, stems: dict[str, str]) -> dict[str, str]:
    """Each scenario's plot as Markdown: shown as PNG, with a link to the SVG."""
    return {
        chart.scenario: f"[![{charts.alternative(result, chart)}](images/{stem}.png)](images/{stem}.svg)"
        for chart in charts.charts(result)
        if (stem := stems.get(chart.scenario))
    }


def render(result: Result, source: str, shown: dict[str, str] | None = None) -> str:
    """The section as Markdown: plots and tables, what every peer runs with, conditions."""
    parts = [f"From `{source}`. Median of the rounds (lowest to highest)."]
    parts += [_markdown(found, shown or {}) for found in table.tables(result)]
    parts += [f"**Note:** {note}" for note in table.notes(result)]
    if found := list(goals.told(result)):
        parts += ["### The goals", "\n".join(f"- {goal}" for goal in found)]
    parts.append("### The peers")
    parts.append("\n".join(_peers(result)))
    parts.append("### The conditions")
    parts.append("\n".join(_conditions(result)))
    return "\n\n".join(parts)


def _markdown(found: table.Table, shown: dict[str, str]) -> str:
    width = len(found.headings)
    lines = [found.headings, ["---", *["---:"] * (width - 1)]]
    lines += [row + [""] * (width - len(row)) for row in found.rows]
    rows = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    picture = shown.get(found.title.partition(":")[0])
    return "\n\n".join([f"### {found.title}", *([picture] if picture else []), rows])


def _peers(result: Result) -> list[str]:
    return [
        f"- {peer.name} {peer.version}: "
        + (peer.unavailable or "; ".join(f"{key} {value}" for key, value in peer.settings.items()))
        for peer in result.peers
    ]


def _conditions(result: Result) -> list[str]:
    return [f"- {key.replace('_', ' ')}: {value}" for key, value in result.conditions.items()]


if __name__ == "__main__":
    main(prog_name="python -m benchmarks.report")
