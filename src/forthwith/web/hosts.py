"""Names of hosts: which mean this machine, and which a request may come by."""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

LOOPBACK = ("localhost", "127.0.0.1", "::1")


def is_loopback(host: str) -> bool:
    """Whether who listens there is reached from this machine alone."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def name_of(host_header: str) -> str:
    """Return the name in a Host header, in lower case, without the port and the brackets of IPv6."""
    host = host_header.strip().lower()
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]


def is_allowed(host_header: str, allowed: Iterable[str] | None) -> bool:
    """Whether a request by that Host header may be answered; `allowed` is None for all."""
    if allowed is None:
        return True
    return name_of(host_header) in {name.lower() for name in allowed}
