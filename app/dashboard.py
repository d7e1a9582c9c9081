"""The relay's dashboard, which `main` mounts at /dashboard."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.procrastinate_app import app
from app.settings import settings
from forthwith.web import Credentials, dashboard
from forthwith.web.hosts import is_loopback

if TYPE_CHECKING:
    from forthwith.web.asgi import Dashboard

PATH = "/dashboard"


def make_dashboard() -> Dashboard | None:
    """Return the dashboard: with logins, or for this machine alone; None where others could come in."""
    if settings.dashboard_users:
        return dashboard(app, credentials=Credentials.read(settings.dashboard_users))
    return dashboard(app, open_to_all="operator") if is_loopback(settings.host) else None
