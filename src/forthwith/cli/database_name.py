"""A database's URL as people may see it: without its password."""

from __future__ import annotations


def without_password(url: str) -> str:
    """Return the URL or connection string `url` as a short URL without secrets."""
    from urllib.parse import quote

    import psycopg
    from psycopg.conninfo import conninfo_to_dict

    try:
        parts = conninfo_to_dict(url)
    except psycopg.ProgrammingError:
        return "(unreadable URL)"
    user = f"{quote(str(parts['user']), safe='')}@" if parts.get("user") else ""
    host = quote(str(parts.get("host") or ""), safe=",/[]:.-_")
    port = f":{parts['port']}" if parts.get("port") else ""
    name = quote(str(parts.get("dbname") or ""), safe="")
    return f"postgresql://{user}{host}{port}/{name}"
