"""The conditions that figures were measured under: machine, versions, the server's settings."""

from __future__ import annotations

import datetime
import os
import platform
import subprocess
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import psycopg

from forthwith.database.embedded import open_embedded

ROOT = Path(__file__).parents[1]
HOME = ROOT / ".forthwith" / "test"
SETTINGS = ("fsync", "synchronous_commit", "full_page_writes", "shared_buffers", "max_connections")
#: What the figures depend on, of what is in the repository.
MEASURED = ("src", "app", "tests", "pyproject.toml", "constraints.txt")
PACKAGES = ("forthwith", "procrastinate", "psycopg", "pytest")


@dataclass(frozen=True, slots=True)
class Conditions:
    """Pairs of a name and a value, in the order to show them in."""

    values: tuple[tuple[str, str], ...]

    def as_table(self) -> str:
        """Return them as a table in Markdown."""
        rows = [f"| {name} | {value} |" for name, value in self.values]
        return "\n".join(["| condition | value |", "|---|---|", *rows])


def measure_conditions() -> Conditions:
    """Ask the machine, the packages and the tests' embedded server."""
    values = {
        "measured": f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d %H:%M} UTC",
        "commit": _commit(),
        "system": f"{platform.system()} {platform.release().split('-')[0]}, {platform.machine()}",
        "processor": _processor(),
        "cores": str(os.cpu_count()),
        "load average of the last minute": f"{os.getloadavg()[0]:.1f}",
        "Python": f"{platform.python_implementation()} {platform.python_version()}",
        **{package: version(package) for package in PACKAGES},
        **_server(),
    }
    return Conditions(tuple(values.items()))


def _server() -> dict[str, str]:
    server = open_embedded(HOME)
    try:
        with psycopg.connect(server.url) as connection:
            names = ("server_version", *SETTINGS)
            found = {name: connection.execute(f"show {name}").fetchone() for name in names}
    finally:
        server.close()
    values = {name: str(row[0]) for name, row in found.items() if row}
    return {"PostgreSQL": f"{values.pop('server_version')}, embedded, on this machine", **values}


def _processor() -> str:
    """Return the processor's name: Linux has it in /proc alone."""
    information = Path("/proc/cpuinfo")
    if information.exists():
        for line in information.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or "unknown"


def _commit() -> str:
    """Return the commit's short name, and whether what was measured differs from it."""
    name = _git("rev-parse", "--short", "HEAD")
    if name.returncode != 0:
        return "unknown"
    changes = _git("status", "--porcelain", "--", *MEASURED)
    return name.stdout.strip() + (", with uncommitted changes" if changes.stdout else "")


def _git(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = ["git", *arguments]
    try:
        return subprocess.run(  # noqa: S603
            command, cwd=ROOT, capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        return subprocess.CompletedProcess(command, returncode=127, stdout="", stderr="")
