"""Three ways in: open to all, by the dashboard's own logins, or by the host application's word."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import inspect
import secrets
from typing import TYPE_CHECKING, Protocol

from forthwith.web.identity import Identity
from forthwith.web.role import Role
from forthwith.web.sessions import COOKIE, Sessions
from forthwith.web.throttle import Throttle

if TYPE_CHECKING:
    from starlette.requests import Request

    from forthwith.web.credentials import Credentials, Login
    from forthwith.web.settings import Authorize, Settings

HASHES_AT_ONCE = 2
REMEMBERED_MAX = 100


class Gate(Protocol):
    """Says who may come in."""

    async def identify(self, request: Request) -> Identity | None:
        """Return who asks; None if nobody who may look. Raises `TooManyAttempts`."""


class TooManyAttempts(Exception):  # noqa: N818 -- the name says what happened
    """Passwords were guessed too often; `wait_s` seconds from now is the time for the next."""

    def __init__(self, wait_s: float) -> None:
        super().__init__(f"too many attempts: wait {wait_s:.0f} s")
        self.wait_s = wait_s


class OpenGate:
    """Everybody comes in, in one role."""

    def __init__(self, role: Role) -> None:
        self._identity = Identity(role)

    async def identify(self, request: Request) -> Identity | None:  # noqa: ARG002
        """Return the same for everybody."""
        return self._identity


class HostGate:
    """The host application says who comes in."""

    def __init__(self, authorize: Authorize) -> None:
        self._authorize = authorize

    async def identify(self, request: Request) -> Identity | None:
        """Return what the host application says."""
        role = self._authorize(request)
        if inspect.isawaitable(role):
            role = await role
        return None if role is None else Identity(Role(role))


class LoginGate:
    """The dashboard's own logins: a session's cookie, or name and password (Basic) for programs."""

    def __init__(self, credentials: Credentials, sessions: Sessions) -> None:
        self.sessions = sessions
        self._credentials = credentials
        self._by_address = Throttle(10, within_s=60)
        self._by_name = Throttle(30, within_s=60)
        self._hashing = asyncio.Semaphore(HASHES_AT_ONCE)
        self._remembered: dict[bytes, Login] = {}
        self._key = secrets.token_bytes(32)

    async def identify(self, request: Request) -> Identity | None:
        """Return whose session it is, or whose name and password."""
        login = self.sessions.login_of(request.cookies.get(COOKIE, "")) or await self._basic(
            request
        )
        return None if login is None else Identity(login.role, login.name)

    async def check(self, address: str, name: str, password: str) -> Login | None:
        """Return the login if that is its password. Raises `TooManyAttempts`."""
        keys = ((self._by_address, address), (self._by_name, name[:64]))
        wait_s = max(throttle.wait_s(key) for throttle, key in keys)
        if wait_s > 0:
            raise TooManyAttempts(wait_s)
        for throttle, key in keys:  # before the hash is made: those at the same time count too
            throttle.failed(key)
        async with self._hashing:
            login = await asyncio.to_thread(self._credentials.check, name, password)
        if login is not None:
            for throttle, key in keys:
                throttle.succeeded(key)
        return login

    async def _basic(self, request: Request) -> Login | None:
        name, password = basic_credentials(request.headers.get("authorization", ""))
        if not name:
            return None
        digest = hashlib.blake2b(f"{name}\0{password}".encode(), key=self._key).digest()
        if digest not in self._remembered:  # a hash takes long, and a program asks often
            login = await self.check(address_of(request), name, password)
            if login is None:
                return None
            if len(self._remembered) >= REMEMBERED_MAX:
                self._remembered.clear()
            self._remembered[digest] = login
        return self._remembered[digest]


def gate_of(settings: Settings) -> Gate:
    """Return the gate that the settings ask for."""
    if settings.authorize is not None:
        return HostGate(settings.authorize)
    if settings.credentials is not None:
        sessions = Sessions(
            settings.credentials, secret=settings.secret, lasts_s=settings.session_s
        )
        return LoginGate(settings.credentials, sessions)
    return OpenGate(Role(settings.open_to_all or Role.VIEWER))


def basic_credentials(header: str) -> tuple[str, str]:
    """Return the name and the password of an Authorization header; two empty strings for none."""
    scheme, _, encoded = header.partition(" ")
    if scheme.lower() != "basic" or len(encoded) > 4096:
        return "", ""
    try:
        name, separator, password = base64.b64decode(encoded, validate=True).decode().partition(":")
    except ValueError:
        return "", ""
    return (name, password) if separator else ("", "")


def address_of(request: Request) -> str:
    """Return the address that a request comes from."""
    return request.client.host if request.client else "?"
