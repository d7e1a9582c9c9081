"""Names in forms and addresses: as they are or, where a browser would rewrite them, as JSON strings.

Browsers turn every line end of a hidden field into CR LF, and drop them from a line that is typed.
"""

from __future__ import annotations

import json

QUOTE = '"'
FIELDS = frozenset({"queue", "task", "lock", "error", "periodic_id"})
"""The fields that carry names."""


def written(name: str) -> str:
    """Return a name as a form carries it: quoted if it is not safe there as it is."""
    is_plain = name.isprintable() and name == name.strip() and not name.startswith(QUOTE)
    return name if is_plain else json.dumps(name)


def read(field: str) -> str:
    """Return the name that a form carries. Whoever types one may quote it, too."""
    if not field.startswith(QUOTE):
        return field
    try:
        name = json.loads(field)
    except ValueError:
        return field
    return name if isinstance(name, str) else field
