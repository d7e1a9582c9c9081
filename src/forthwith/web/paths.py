"""Which part of the dashboard a request is for, wherever it is mounted."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.types import Scope

_PUBLIC = frozenset({"/login", "/logout", "/health/live", "/health/ready"})


def base_of(scope: Scope) -> str:
    """Return the path that the dashboard is mounted at, without a slash at its end."""
    return str(scope.get("root_path", "")).rstrip("/")


def path_of(scope: Scope) -> str:
    """Return a request's path below that."""
    path, base = str(scope["path"]), base_of(scope)
    return path[len(base) :] if path.startswith(f"{base}/") else path


def is_public(scope: Scope) -> bool:
    """Whether it is for everybody: the login, what pages look like, and whether the dashboard works."""
    path = path_of(scope)
    return path in _PUBLIC or path.startswith("/static/")


def is_stream(scope: Scope) -> bool:
    """Whether its answer goes on until somebody leaves."""
    return path_of(scope) == "/events"


def is_page(scope: Scope) -> bool:
    """Whether people read the answer, and not programs."""
    path = path_of(scope)
    return not path.startswith(("/api/", "/events", "/metrics", "/health/", "/static/"))
