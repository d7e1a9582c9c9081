"""Whether a request comes from one of the dashboard's own pages, by what the browser says."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_DEFAULT_PORTS = {"http": 80, "https": 443}


def is_from_here(headers: Mapping[str, str], scheme: str) -> bool:
    """Whether a request that changes something was made by the user, and not by another site.

    Browsers say it in Sec-Fetch-Site. Where they don't (an old one, or plain http to another machine), the
    Origin must be the address that was asked. Nothing of either is a no: every browser sends one of them
    with a POST.
    """
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site in {"same-origin", "none"}
    origin = _address(headers.get("origin", ""))
    return origin is not None and origin == _address(f"{scheme}://{headers.get('host')}")


def is_without_browser(headers: Mapping[str, str]) -> bool:
    """Whether nothing says that a browser made the request."""
    return "sec-fetch-site" not in headers and "origin" not in headers


def _address(url: str) -> tuple[str, str, int | None] | None:
    """Return scheme, host and port; None if there is no host in it, or it cannot be read."""
    try:
        parts = urlsplit(url)
        port = parts.port or _DEFAULT_PORTS.get(parts.scheme)
    except ValueError:
        return None
    return (parts.scheme, parts.hostname, port) if parts.hostname else None
