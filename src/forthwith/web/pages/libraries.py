"""The libraries that pages load, if the build has fetched them (hatch_build.py)."""

from __future__ import annotations

from functools import cache
from importlib.resources import files


@cache
def are_there() -> bool:
    """Whether they are. Without them charts are tables, and pages as fresh as when they were loaded."""
    return files("forthwith.web").joinpath("static", "vendor", "lock.sha256").is_file()
