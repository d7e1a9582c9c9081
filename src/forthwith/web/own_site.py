"""How a dashboard that is served by itself is guarded: by where it listens, and whether it has logins."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from forthwith.errors import InvalidArgument
from forthwith.web.credentials import Credentials
from forthwith.web.hosts import LOOPBACK, is_loopback
from forthwith.web.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from forthwith.web.server import Place

USERS_VARIABLE = "FORTHWITH_DASHBOARD_USERS"


def credentials_of(password_file: Path | None) -> Credentials | None:
    """Return the logins of a file or else of FORTHWITH_DASHBOARD_USERS, where `;` ends a line too.

    Raises `InvalidArgument`.
    """
    if password_file is not None:
        return Credentials.read(password_file)
    users = os.environ.get(USERS_VARIABLE)
    return Credentials.parse(users.replace(";", "\n"), source=USERS_VARIABLE) if users else None


def settings_for(
    place: Place,
    credentials: Credentials | None,
    *,
    allowed_hosts: Sequence[str] = (),
    secret: str | None = None,
    hide_arguments: bool = False,
) -> Settings:
    """Return the settings. Without logins everybody on this machine is an operator, and nobody else.

    Raises `InvalidArgument` for a place that others can reach without logins.
    """
    names = (*LOOPBACK, place.host, *allowed_hosts)
    if credentials is not None:
        return Settings(
            credentials=credentials,
            allowed_hosts=names if allowed_hosts else None,
            secret=secret,
            hide_arguments=hide_arguments,
        )
    if not is_loopback(place.host):
        raise _needs_credentials("host", f"others can reach {place.host}, so it needs credentials")
    if place.trusted_proxies is not None:
        raise _needs_credentials(
            "trust-proxy", "others come through a proxy, so it needs credentials"
        )
    return Settings(
        open_to_all="operator",
        allowed_hosts=names,
        refuse_proxies=True,
        hide_arguments=hide_arguments,
    )


def _needs_credentials(argument: str, why: str) -> InvalidArgument:
    return InvalidArgument(
        argument,
        f"{why}: pass --password-file FILE (or set FORTHWITH_DASHBOARD_PASSWORD_FILE or {USERS_VARIABLE}).\n"
        "A line in it is a name, a role (viewer or operator) and what `forthwith dashboard --hash-password` "
        "writes.",
    )
