"""Hides secrets in arguments and results, before they leave the server. Pure.

A value is hidden by the name that it is kept under: `{"api_key": "k-123"}` becomes `{"api_key": "••••"}`,
however deep it lies. Values in lists have no names of their own, and share that of the list.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import pairwise
from typing import Any

HIDDEN = "••••"
DEPTH_MAX = 50
IsSecret = Callable[[str, Any], bool]

# Words of a name, so that "card" is one and "discard" is not.
_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
_SECRET_WORDS = frozenset(
    {
        "password",
        "passwords",
        "passwd",
        "pwd",
        "passphrase",
        "passcode",
        "pass",
        "pin",
        "otp",
        "totp",
    }
    | {
        "secret",
        "secrets",
        "token",
        "tokens",
        "jwt",
        "bearer",
        "authorization",
        "auth",
        "signature",
    }
    | {"credential", "credentials", "cookie", "cookies", "session", "sessionid", "private"}
    | {"apikey", "accesskey", "secretkey", "privatekey"}
    | {"card", "cardnumber", "creditcard", "cvc", "cvv", "iban", "ssn"}
)
_SECRET_PAIRS = frozenset(
    {("api", "key"), ("access", "key"), ("secret", "key"), ("private", "key"), ("signing", "key")}
    | {("encryption", "key"), ("account", "number"), ("session", "id"), ("connection", "string")}
)
# Names written together, such as `userpassword` or `mytoken`.
_SECRET_PARTS = re.compile(
    r"passw|passphrase|secret|token|credential|api_?key|authoriz|privatekey|creditcard|cardnumber",
    re.IGNORECASE,
)
_URL_PASSWORD = re.compile(
    r"(?P<start>\b[a-z][a-z0-9+.-]*://[^\s/:@]*:)[^\s/@]+(?=@)", re.IGNORECASE
)


def is_secret_name(name: str, _value: Any = None) -> bool:
    """Whether a name looks as if its value were a secret: password, token, api_key, cardNumber …"""
    words = [word.lower() for word in _WORDS.findall(name)]
    return (
        not _SECRET_WORDS.isdisjoint(words)
        or any(pair in _SECRET_PAIRS for pair in pairwise(words))
        or _SECRET_PARTS.search(name) is not None
    )


def redacted(value: Any, is_secret: IsSecret = is_secret_name, depth: int = 0) -> Any:
    """Return a JSON value with every secret in it hidden; passwords in URLs are always hidden.

    So is what lies deeper than `DEPTH_MAX`, where nobody reads it anyway.
    """
    if isinstance(value, dict):
        return {
            key: HIDDEN
            if _hides(key, member, is_secret)
            else redacted(member, is_secret, depth + 1)
            for key, member in (value.items() if depth < DEPTH_MAX else ())
        }
    if isinstance(value, list):
        members = value if depth < DEPTH_MAX else [HIDDEN]
        return [redacted(member, is_secret, depth + 1) for member in members]
    if isinstance(value, str):
        return _URL_PASSWORD.sub(rf"\g<start>{HIDDEN}", value)
    return value


def all_hidden(value: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments' names alone, with nothing of their values."""
    return dict.fromkeys(value, HIDDEN)


def _hides(key: str, value: Any, is_secret: IsSecret) -> bool:
    return value is not None and is_secret(key, value)
