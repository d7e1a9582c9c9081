"""The `forthwith` command line: one command a file in `commands/`, what they share beside this one.

Modules load what they need inside their functions, so that `forthwith --help` answers at once.
"""

from __future__ import annotations

__all__ = ["main"]


def main() -> None:
    """Run the command line and leave the process with one of `ExitCode`'s values."""
    from forthwith.cli.program import run

    raise SystemExit(run())
