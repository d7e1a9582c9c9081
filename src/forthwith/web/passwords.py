"""Passwords, kept as scrypt hashes alone.

A hash is one word, `scrypt.<log2 of n>.<r>.<p>.<salt>.<key>`, without characters that shells or environment
files take for their own.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from typing import NamedTuple

from forthwith.errors import InvalidArgument

_LOG2_N, _R, _P = 15, 8, 3  # 32 MiB, a quarter to half a second
_SALT_BYTES = 16
_KEY_BYTES = 32
_LOG2_N_MAX, _P_MAX = 20, 16
_MEMORY_MAX = 256 * 1024 * 1024
PASSWORD_CHARACTERS_MAX = 1024


class PasswordHash(NamedTuple):
    """A hash as it is kept, taken apart."""

    log2_n: int
    r: int
    p: int
    salt: bytes
    key: bytes

    def fits(self, password: str) -> bool:
        """Whether it is that password's. Takes long, and as long for every password."""
        return hmac.compare_digest(_key(password, self), self.key)


def hash_password(password: str) -> str:
    """Return a password's hash, with a salt of its own. Raises `InvalidArgument` for an unfit password."""
    if not 8 <= len(password) <= PASSWORD_CHARACTERS_MAX:
        raise InvalidArgument(
            "password", f"must have from 8 to {PASSWORD_CHARACTERS_MAX:,} characters"
        )
    blank = PasswordHash(_LOG2_N, _R, _P, secrets.token_bytes(_SALT_BYTES), bytes(_KEY_BYTES))
    numbers = f"{blank.log2_n}.{blank.r}.{blank.p}"
    return f"scrypt.{numbers}.{_text(blank.salt)}.{_text(_key(password, blank))}"


def parse_hash(text: str) -> PasswordHash:
    """Take a hash apart. Raises `InvalidArgument`, which does not repeat it."""
    try:
        kind, log2_n, r, p, salt, key = text.split(".")
        parsed = PasswordHash(int(log2_n), int(r), int(p), _bytes(salt), _bytes(key))
    except ValueError:
        raise _not_a_hash() from None
    fits = (
        kind == "scrypt"
        and 1 <= parsed.log2_n <= _LOG2_N_MAX
        and 1 <= parsed.p <= _P_MAX
        and 0 < 128 * parsed.r << parsed.log2_n < _MEMORY_MAX
        and len(parsed.salt) >= _SALT_BYTES
        and len(parsed.key) == _KEY_BYTES
    )
    if not fits:
        raise _not_a_hash()
    return parsed


def _not_a_hash() -> InvalidArgument:
    return InvalidArgument(
        "credentials",
        "a password's hash cannot be read; make one with `forthwith dashboard --hash-password`",
    )


def _key(password: str, kept: PasswordHash) -> bytes:
    return hashlib.scrypt(
        password.encode(errors="surrogatepass"),
        salt=kept.salt,
        n=1 << kept.log2_n,
        r=kept.r,
        p=kept.p,
        maxmem=_MEMORY_MAX,
        dklen=_KEY_BYTES,
    )


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _bytes(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
