"""The dashboard: pages, a JSON API and live events, as an ASGI application.

```python
from forthwith.web import dashboard

api.mount("/dashboard", dashboard(app, open_to_all="viewer"))
```

Needs the extra `forthwith[dashboard]`. `asgi` guards and serves, `app` has the routes, `dependencies` what
routes are given, `api` the JSON API, `pages` the HTML.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from forthwith.errors import InvalidArgument
from forthwith.web.credentials import Credentials
from forthwith.web.role import Role

if TYPE_CHECKING:
    from collections.abc import Sequence

    from forthwith.app import App
    from forthwith.web.asgi import Dashboard
    from forthwith.web.settings import Authorize, Redact, RoleName

__all__ = ["Credentials", "Role", "dashboard"]

MISSING = 'The dashboard needs packages that are not installed: pip install "forthwith[dashboard]"'


def dashboard(
    app: App,
    *,
    authorize: Authorize | None = None,
    credentials: Credentials | None = None,
    open_to_all: RoleName | None = None,
    allowed_hosts: Sequence[str] | None = None,
    login_url: str | None = None,
    secret: str | None = None,
    session_s: float = 12 * 3600.0,
    redact: Redact | None = None,
    hide_arguments: bool = False,
    requests_max: int = 32,
    streams_max: int = 64,
) -> Dashboard:
    """Return the dashboard of an app's database, an ASGI application to be served or mounted.

    Who may see it must be said in one of three ways: `authorize` is a function (async or not) from a
    Starlette request to a `Role`, or None for nobody; strangers are led to `login_url`. `credentials` are
    logins of the dashboard's own, see `Credentials`; their sessions last `session_s` seconds and are signed
    with `secret`, which several processes must share and which is random without. `open_to_all` is the role
    of everybody; then only the names of this machine are answered to, or `allowed_hosts` ("*" for all).

    `redact` takes a name and a value in a job's arguments or result and says whether to hide it; without,
    names such as `password` and `api_key` are. `hide_arguments` hides all of them. `requests_max` and
    `streams_max` limit what is served at once.

    Raises `InvalidArgument`, and `ImportError` without the extra `forthwith[dashboard]`.
    """
    try:
        from forthwith.web.asgi import Dashboard
        from forthwith.web.settings import Settings
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("forthwith"):
            raise
        raise ImportError(MISSING) from error
    if isinstance(allowed_hosts, str):
        raise InvalidArgument("allowed_hosts", "must be a list of names, not a string")
    settings = Settings(
        authorize=authorize,
        credentials=credentials,
        open_to_all=open_to_all,
        allowed_hosts=None if allowed_hosts is None else tuple(allowed_hosts),
        login_url=login_url,
        secret=secret,
        session_s=session_s,
        redact=redact,
        hide_arguments=hide_arguments,
        requests_max=requests_max,
        streams_max=streams_max,
    )
    return Dashboard(app, settings)
