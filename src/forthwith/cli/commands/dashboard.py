"""`forthwith dashboard`: see what the jobs do, and steer them, in a browser."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import click

from forthwith.cli.exit_code import ExitCode
from forthwith.cli.failure import CommandFailed
from forthwith.cli.logs import LEVELS, LogFormat, configure_logging
from forthwith.cli.session import any_app

if TYPE_CHECKING:
    import socket

    from forthwith.web.server import Place

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command()
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="Listen on this address. Others than this machine's own need credentials.",
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8090,
    show_default=True,
    help="Listen on this port; 0 for any free one.",
)
@click.option(
    "--password-file",
    metavar="FILE",
    type=_FILE,
    envvar="FORTHWITH_DASHBOARD_PASSWORD_FILE",
    help="Who may log in: a name, a role (viewer or operator) and a password's hash a line.",
)
@click.option(
    "--secret-file",
    metavar="FILE",
    type=_FILE,
    envvar="FORTHWITH_DASHBOARD_SECRET_FILE",
    help="What sessions are signed with. Without it, a restart ends them.",
)
@click.option(
    "--allow-host",
    "allowed_hosts",
    metavar="NAME",
    multiple=True,
    help="Answer under this name too, such as that of a proxy.",
)
@click.option(
    "--root-path", metavar="PATH", default="", help="The path that a proxy serves it under."
)
@click.option(
    "--trust-proxy",
    "trusted_proxies",
    metavar="ADDRESSES",
    help="Believe these proxies' X-Forwarded-For and X-Forwarded-Proto (needs credentials).",
)
@click.option(
    "--tls-certificate", metavar="FILE", type=_FILE, help="Serve https with this certificate."
)
@click.option("--tls-key", metavar="FILE", type=_FILE, help="The certificate's key.")
@click.option("--hide-arguments", is_flag=True, help="Show no arguments and results of jobs.")
@click.option(
    "--hash-password", is_flag=True, help="Ask for a password, write its hash, and leave."
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
def command(*, hash_password: bool, log_level: str, log_format: LogFormat, **options: Any) -> int:
    """See what the jobs do, and steer them, in a browser.

    It listens on this machine alone and lets everybody on it do everything. With credentials it asks for
    a name and a password, and may listen elsewhere. Ctrl-C or SIGTERM stops it.

    With --app it knows the app's tasks; without, those that workers tell of.
    """
    if hash_password:
        return _hash_password()
    configure_logging(log_level, log_format)
    return _serve(**options)


def _hash_password() -> int:
    from forthwith.web.passwords import hash_password

    if sys.stdin.isatty():
        password = click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
    else:
        password = sys.stdin.readline().rstrip("\n")
    click.echo(hash_password(password))
    return ExitCode.OK


def _serve(
    *,
    password_file: Path | None,
    secret_file: Path | None,
    allowed_hosts: tuple[str, ...],
    hide_arguments: bool,
    **place: Any,
) -> int:
    import asyncio

    _check_installed()
    from forthwith.web.asgi import Dashboard
    from forthwith.web.own_site import credentials_of, settings_for
    from forthwith.web.server import Place, serve

    where = Place(**place)
    settings = settings_for(
        where,
        credentials_of(password_file),
        allowed_hosts=allowed_hosts,
        secret=secret_file.read_text("utf-8").strip() if secret_file else None,
        hide_arguments=hide_arguments,
    )
    app = any_app()
    with _listen(where) as listener:
        url = where.url(listener)
        dashboard = Dashboard(app, settings)
        asyncio.run(serve(app, dashboard, where, listener, on_ready=lambda: _announce(url)))
    return ExitCode.OK


def _check_installed() -> None:
    for name in ("fastapi", "uvicorn", "jinja2", "itsdangerous", "python_multipart"):
        if find_spec(name) is None:
            from forthwith.web import MISSING

            raise CommandFailed(ExitCode.FAILED, MISSING)


def _listen(where: Place) -> socket.socket:
    try:
        return where.listen()
    except OSError as error:
        problem = f"cannot listen on {where.host}, port {where.port}: {error.strerror or error}"
        raise CommandFailed(ExitCode.FAILED, problem) from None


def _announce(url: str) -> None:
    click.echo(f"The dashboard is at {url} (Ctrl-C stops it)")
    sys.stdout.flush()
