"""Run the command line: parse, execute, and turn whatever happens into an exit code."""

from __future__ import annotations

import os
import sys
import traceback

import click

from forthwith.cli.exit_code import ExitCode
from forthwith.cli.failure import explain
from forthwith.cli.group import cli
from forthwith.cli.printable import lines, without_passwords
from forthwith.cli.settings import debug_requested

# An error is one line or two; a third helps where the second names what to do.
_ERROR_LINES_MAX = 2


def run(arguments: list[str] | None = None) -> int:
    """Run `arguments` (the process's own by default) and return the exit code."""
    _never_fail_on_an_encoding()
    try:
        result = cli.main(args=arguments, prog_name="forthwith", standalone_mode=False)
    except click.exceptions.Exit as error:
        return error.exit_code
    except click.Abort:
        return _report(KeyboardInterrupt())
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except BrokenPipeError:
        return _leave_closed_pipe()
    except (Exception, KeyboardInterrupt) as error:
        return _report(error)
    return result if isinstance(result, int) else ExitCode.OK


def _report(error: BaseException) -> int:
    """Say on stderr what went wrong, and return the exit code."""
    failure = explain(error)
    if debug_requested():
        traceback.print_exception(error)
    text = without_passwords(failure.message.strip())
    shown = [line for line in lines(text) if line.strip()][:_ERROR_LINES_MAX]
    click.echo("forthwith: " + "\n".join(shown), err=True)
    return failure.code


def _leave_closed_pipe() -> int:
    # The reader went away (`forthwith jobs | head`). Python flushes stdout once more at exit,
    # which would fail again, with a message that helps nobody.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return ExitCode.FAILED


def _never_fail_on_an_encoding() -> None:
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")
