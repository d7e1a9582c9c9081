"""The package's names are there when they are asked for, and cost nothing before."""

from __future__ import annotations

import subprocess
import sys

import pytest

import forthwith

HEAVY = {"asyncio", "fastapi", "procrastinate", "psycopg", "rich"}
LOADED = """
import sys
from forthwith.cli.program import run
code = run({arguments!r})
print("loaded:", *{{name.partition(".")[0] for name in sys.modules}})
raise SystemExit(code)
"""


@pytest.mark.parametrize("arguments", [["--help"], ["no-such-command"]])
def test_the_help_does_not_wait_for_the_engine(arguments: list[str]) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", LOADED.format(arguments=arguments)],
        capture_output=True,
        text=True,
        check=False,
    )
    loaded = set(ran.stdout.rpartition("loaded:")[2].split())
    assert {"click", "forthwith"} <= loaded, ran
    assert not HEAVY & loaded


def test_every_public_name_is_there_and_listed() -> None:
    for name in [*forthwith.__all__, "__version__"]:
        assert getattr(forthwith, name) is not None
        assert name in dir(forthwith)


def test_another_name_is_not_there() -> None:
    with pytest.raises(AttributeError, match="module 'forthwith' has no attribute 'Nothing'"):
        forthwith.Nothing  # noqa: B018
