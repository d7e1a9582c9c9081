"""A database's URL as people may see it: without its password."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote


def without_password(conninfo: str) -> str:
    """Return a short URL without secrets for a URL or connection string that libpq understands.

    Of several hosts it names all, each with its port.
    """
    from psycopg.conninfo import conninfo_to_dict

    parts = conninfo_to_dict(conninfo)
    hosts = _parts(parts, "host")
    user = f"{quote(str(parts['user']), safe='')}@" if parts.get("user") else ""
    name = quote(str(parts.get("dbname") or ""), safe="")
    if any(host.startswith("/") for host in hosts):  # the directory of a unix socket
        return f"postgresql://{user}/{name}?host={','.join(hosts)}"
    return f"postgresql://{user}{_places(hosts, _parts(parts, 'port'))}/{name}"


def _parts(parts: dict[str, Any], key: str) -> list[str]:
    return str(parts.get(key) or "").split(",")


def _places(hosts: list[str], ports: list[str]) -> str:
    # libpq takes a single port for all hosts.
    of_each = ports if len(ports) == len(hosts) else ports[:1] * len(hosts)
    return ",".join(
        f"{_host(host)}:{port}" if port else _host(host)
        for host, port in zip(hosts, of_each, strict=True)
    )


def _host(host: str) -> str:
    return f"[{host}]" if ":" in host else quote(host)
