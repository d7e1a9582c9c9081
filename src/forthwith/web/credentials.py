"""Who may log in to the dashboard, and as what.

A line for each: the name, the role (`viewer` or `operator`) and the password's hash, with spaces between.
Empty lines and lines that start with `#` do not count.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from forthwith.errors import InvalidArgument
from forthwith.web.passwords import PasswordHash, parse_hash
from forthwith.web.role import Role

_NAME_CHARACTERS_MAX = 64


@dataclass(frozen=True, slots=True)
class Login:
    """Somebody who may log in."""

    name: str
    role: Role
    password: PasswordHash = field(repr=False)

    @property
    def fingerprint(self) -> str:
        """Changes with the password and the role, so that sessions end with them."""
        return hashlib.sha256(self.password.key + self.role.encode()).hexdigest()[:16]


class Credentials:
    """The logins of a dashboard. Make them with `read` or `parse`."""

    __slots__ = ("_logins", "_nobody")

    def __init__(self, logins: list[Login]) -> None:
        self._logins = {login.name: login for login in logins}
        # What the password of a name that does not exist is held against: it takes as long.
        self._nobody = logins[0].password._replace(key=secrets.token_bytes(32))

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """Return the logins of a file. Raises `InvalidArgument` with the file's line."""
        try:
            text = Path(path).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "not UTF-8"
            raise InvalidArgument("credentials", f"cannot read {path}: {reason}") from None
        return cls.parse(text, source=str(path))

    @classmethod
    def parse(cls, text: str, *, source: str = "credentials") -> Self:
        """Return the logins of a text. Raises `InvalidArgument` with the line, but not what it says."""
        logins: list[Login] = []
        for number, line in enumerate(text.splitlines(), 1):
            if line.strip() and not line.lstrip().startswith("#"):
                logins.append(_login(line, f"{source}, line {number}"))
        names = [login.name for login in logins]
        if not names:
            raise InvalidArgument("credentials", f"{source} names nobody")
        if len(set(names)) < len(names):
            raise InvalidArgument("credentials", f"{source} names somebody twice")
        return cls(logins)

    def find(self, name: str) -> Login | None:
        """Return the login of that name."""
        return self._logins.get(name)

    def check(self, name: str, password: str) -> Login | None:
        """Return the login if that is its password. Blocks for about half a second, whoever asks."""
        login = self._logins.get(name)
        fits = (login.password if login else self._nobody).fits(password)
        return login if fits else None


def _login(line: str, where: str) -> Login:
    words = line.split()
    if len(words) != 3 or words[1] not in set(Role):
        raise InvalidArgument(
            "credentials",
            f"{where}: must be a name, a role (viewer or operator) and a password's hash, such as "
            "`ada operator scrypt.15.8.3…` (make the hash with `forthwith dashboard --hash-password`)",
        )
    name, role, hashed = words
    if len(name) > _NAME_CHARACTERS_MAX or not name.isprintable():
        raise InvalidArgument("credentials", f"{where}: the name is too long or cannot be printed")
    try:
        return Login(name, Role(role), parse_hash(hashed))
    except InvalidArgument as error:
        raise InvalidArgument("credentials", f"{where}: {error.problem}") from None
