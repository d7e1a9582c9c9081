"""Finds the Python that a peer needs, when it needs a newer one than ours."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from benchmarks.errors import SetUpError

if TYPE_CHECKING:
    from collections.abc import Iterator

# A folder with this file, which says "3.12", holds a peer that needs at least that Python.
REQUIRES = "requires-python"
NEWEST_MINOR = 30
LOOK_TIMEOUT_S = 30
# One without ensurepip runs, but can't make an environment.
LOOK = "import ensurepip, sys; print(*sys.version_info[:3], sep='.'); print(sys.version)"

Version = tuple[int, ...]


class Python(NamedTuple):
    """An interpreter: where it is, its version, and what tells this build from others."""

    path: str
    version: Version
    build: str


OURS = Python(sys.executable, tuple(sys.version_info[:3]), sys.version)


def python_for(peer: Path) -> Python:
    """The Python to make the peer's environment with: ours, or the oldest that is new enough.

    The oldest, because packages have wheels for it first. Raises SetUpError when this machine has
    none.
    """
    wanted = required(peer)
    if OURS.version >= wanted:
        return OURS
    found = [python for path in _installed() if (python := _look(path)) is not None]
    fitting = [python for python in found if python.version >= wanted]
    if fitting:
        return min(fitting, key=lambda python: python.version)
    raise SetUpError(
        f"it needs Python {text(wanted)} or later; ours is {text(OURS.version)}, and neither the"
        " PATH nor pyenv has another"
    )


def required(peer: Path) -> Version:
    """The oldest Python that will do for a peer."""
    path = peer / REQUIRES
    return _parsed(path.read_text()) if path.exists() else ()


def text(version: Version) -> str:
    """A version as people write it."""
    return ".".join(str(part) for part in version)


def _installed() -> Iterator[str]:
    """Pythons newer than ours on the PATH, then those that pyenv keeps."""
    names = [f"python3.{minor}" for minor in range(OURS.version[1] + 1, NEWEST_MINOR)]
    for name in (*names, "python3"):
        if path := shutil.which(name):
            yield path
    root = os.environ.get("PYENV_ROOT") or Path("~/.pyenv").expanduser()
    for found in sorted(Path(root).glob("versions/3.*/bin/python")):
        yield str(found)


def _look(path: str) -> Python | None:
    """Ask an interpreter; None for what does not run, as pyenv's names of what is not selected."""
    words = [path, "-c", LOOK]
    try:
        done = subprocess.run(
            words, capture_output=True, text=True, check=True, timeout=LOOK_TIMEOUT_S
        )
        version, _, build = done.stdout.partition("\n")
        return Python(path, _parsed(version), build.strip())
    except (OSError, subprocess.SubprocessError, ValueError):
        return None


def _parsed(version: str) -> Version:
    return tuple(int(part) for part in version.strip().split("."))
