"""`python -m benchmarks.report RESULT.json`: write a result into docs/benchmarks.md.

The part between the two markers is replaced; the numbers in it are never typed by hand.
"""

from __future__ import annotations

import re
from pathlib import Path

import click

from benchmarks import table
from benchmarks.results import Result

DOCUMENT = Path(__file__).parent.parent / "docs" / "benchmarks.md"
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"


@click.command()
@click.argument("result", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option(
    "--document",
    type=click.Path(path_type=Path, exists=True),
    default=DOCUMENT,
    help="The Markdown file with the two markers.  [default: docs/benchmarks.md]",
)
def main(result: Path, document: Path) -> None:
    """Write the tables and conditions of RESULT into the documentation."""
    text = document.read_text()
    if BEGIN not in text or END not in text:
        raise click.ClickException(f"{document} lacks the markers {BEGIN} and {END}")
    section = f"{BEGIN}\n{render(Result.load(result), result.name)}\n{END}"
    pattern = re.compile(f"{re.escape(BEGIN)}.*{re.escape(END)}", re.DOTALL)
    document.write_text(pattern.sub(lambda _: section, text))
    click.echo(f"Wrote {result.name} into {document}")


def render(result: Result, source: str) -> str:
    """The section as Markdown: tables, what every peer runs with, conditions."""
    parts = [f"From `{source}`. Median of the rounds (lowest to highest)."]
    parts += [_markdown(found) for found in table.tables(result)]
    parts += [f"**Note:** {note}" for note in table.notes(result)]
    parts.append("### The peers")
    parts.append("\n".join(_peers(result)))
    parts.append("### The conditions")
    parts.append("\n".join(_conditions(result)))
    return "\n\n".join(parts)


def _markdown(found: table.Table) -> str:
    width = len(found.headings)
    lines = [found.headings, ["---", *["---:"] * (width - 1)]]
    lines += [row + [""] * (width - len(row)) for row in found.rows]
    rows = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return f"### {found.title}\n\n{rows}"


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
