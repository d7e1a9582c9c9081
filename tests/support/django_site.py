"""A Django site that consists of one view, on a test's database."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import django
from django.conf import settings
from django.db import connections
from django.urls import path
from psycopg.conninfo import conninfo_to_dict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from django.http import HttpRequest, HttpResponse

view: Callable[[HttpRequest], HttpResponse] | None = None
"""What answers requests to `/`. A test sets it."""


def _answer(request: HttpRequest) -> HttpResponse:
    assert view is not None
    return view(request)


urlpatterns = [path("", _answer)]


@contextmanager
def on_database(url: str) -> Iterator[None]:
    """Let `django.db.connection` lead to that database."""
    if not settings.configured:
        settings.configure(
            ALLOWED_HOSTS=["*"],
            DATABASES={"default": {"ENGINE": "django.db.backends.postgresql"}},
            ROOT_URLCONF=__name__,
            SECRET_KEY="none",  # noqa: S106 -- there is nothing to keep secret
            USE_TZ=True,
        )
        django.setup()
    place: dict[str, Any] = conninfo_to_dict(url)
    connections.settings["default"].update(
        NAME=place.pop("dbname"),
        USER=place.pop("user", ""),
        PASSWORD=place.pop("password", ""),
        HOST=place.pop("host", ""),
        PORT=str(place.pop("port", "")),
        ATOMIC_REQUESTS=False,
        OPTIONS=place,
    )
    connections["default"].close()
    try:
        yield
    finally:
        connections["default"].close()
