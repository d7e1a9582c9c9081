"""Names of hosts: which mean this machine, and which a request may come by."""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING

from forthwith.errors import InvalidArgument

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


def check_names(argument: str, names: Iterable[str]) -> None:
    """Raise `InvalidArgument` unless each is `*` or what a Host header can have before its port."""
    for name in names:
        if name != "*" and name_of(f"[{name}]" if _is_address(name) else name) != name.lower():
            raise InvalidArgument(
                argument,
                f"must be names such as jobs.example.org, without a scheme or a port: {name!r}",
            )


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


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
