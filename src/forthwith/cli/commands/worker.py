"""`forthwith worker`: run jobs until told to stop, in this process or in several."""

from __future__ import annotations

from typing import Any, get_args

import click

from forthwith.cli.logs import LEVELS, LogFormat, configure_logging
from forthwith.cli.parameters import queue_names
from forthwith.cli.worker_options import WorkerCommand

PORT_MAX = 65_535
_SECONDS = click.FloatRange(min=0, max=1e9)


@click.command()
@click.option("--queues", metavar="A,B", type=queue_names, help="Take jobs of these queues alone.")
@click.option("--concurrency", type=click.IntRange(1), help="Run so many jobs at a time.")
@click.option(
    "--processes",
    type=click.IntRange(1, 1024),
    default=1,
    show_default=True,
    help="Run so many worker processes, each with this concurrency.",
)
@click.option("--name", help="The worker's name, in logs and in `forthwith status`.")
@click.option(
    "--wait/--one-shot",
    "wait",
    default=None,
    help="Wait for more jobs (the default), or stop when no job is due.",
)
@click.option(
    "--grace-period",
    metavar="SECONDS",
    type=_SECONDS,
    help="When told to stop, let running jobs go on for so long, then abort them. "
    "By default they may finish.",
)
@click.option(
    "--polling-interval",
    metavar="SECONDS",
    type=click.FloatRange(min=0, min_open=True, max=1e9),
    help="Look for jobs this often where no notification comes.",
)
@click.option("--no-listen-notify", is_flag=True, help="Poll only, open no connection to listen.")
@click.option(
    "--delete-jobs",
    type=click.Choice(["never", "successful", "always"]),
    help="Which jobs to delete when they have ended.",
)
@click.option(
    "--metrics-port",
    type=click.IntRange(0, PORT_MAX),
    help="Serve /metrics, /health/live and /health/ready at this port; 0: at any free one. Of several "
    "processes, each next one has the next port.",
)
@click.option(
    "--metrics-host", metavar="ADDRESS", help="Serve them at this address, not at 127.0.0.1."
)
@click.option(
    "--log-level", type=click.Choice(LEVELS), default="info", show_default=True, help="What to log."
)
@click.option(
    "--log-format",
    type=click.Choice(get_args(LogFormat)),
    default="text",
    show_default=True,
    help="Log lines for people, or a JSON object a line.",
)
@click.option("--supervised", is_flag=True, hidden=True)
def command(*, processes: int, supervised: bool, **options: Any) -> int:
    """Run jobs until told to stop.

    SIGTERM or Ctrl-C stops gracefully: what has not started is given back, what runs may finish
    within the grace period, the rest is aborted and runs again elsewhere. A second one aborts at
    once. What is not given here comes from the app's worker_defaults.

    Exits with 0 after a graceful stop. With --processes, a process that dies by itself is replaced;
    the exit code is not 0 if one could not be, or died while stopping.
    """
    wanted = WorkerCommand(**options)
    configure_logging(wanted.log_level, wanted.log_format)
    if processes > 1:
        _check_ports(wanted, processes)
        return _supervise(wanted, processes)
    return _work(wanted, supervised=supervised)


def _check_ports(wanted: WorkerCommand, processes: int) -> None:
    if (wanted.port_of(processes) or 0) > PORT_MAX:
        raise click.BadParameter(
            f"leaves no port for each of {processes} processes: choose one of at most "
            f"{PORT_MAX - processes + 1}",
            param_hint="--metrics-port",
        )


def _supervise(wanted: WorkerCommand, processes: int) -> int:
    from forthwith.cli.session import required_app_path
    from forthwith.cli.settings import current_settings
    from forthwith.cli.supervisor import supervise

    path, debug = required_app_path(), current_settings().debug
    commands = [wanted.arguments(path, number, debug=debug) for number in range(1, processes + 1)]
    return supervise(commands, one_shot=wanted.wait is False)


def _work(wanted: WorkerCommand, *, supervised: bool) -> int:
    from forthwith.cli.session import required_app
    from forthwith.cli.work import work

    return work(required_app, wanted.worker_options(), supervised=supervised)
