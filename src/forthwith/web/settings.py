"""How a dashboard was set up."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from forthwith.errors import InvalidArgument
from forthwith.options import check_count, check_positive
from forthwith.web.credentials import Credentials
from forthwith.web.hosts import LOOPBACK, check_names
from forthwith.web.role import Role

if TYPE_CHECKING:
    from starlette.requests import Request

Authorize = Callable[["Request"], Role | Awaitable[Role | None] | None]
Redact = Callable[[str, Any], bool]
RoleName = Literal["viewer", "operator"]

_WAYS = ("authorize", "credentials", "open_to_all")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What `dashboard(app, ...)` was told, checked. Raises `InvalidArgument`."""

    authorize: Authorize | None = None
    credentials: Credentials | None = None
    open_to_all: RoleName | None = None
    allowed_hosts: tuple[str, ...] | None = None
    refuse_proxies: bool = False
    login_url: str | None = None
    secret: str | None = None
    session_s: float = 12 * 3600.0
    redact: Redact | None = None
    hide_arguments: bool = False
    requests_max: int = 32
    streams_max: int = 64
    body_bytes_max: int = 262_144

    def __post_init__(self) -> None:
        self._check_way_in()
        for argument in ("requests_max", "streams_max", "body_bytes_max"):
            check_count(argument, getattr(self, argument))
        check_names("allowed_hosts", self.allowed_hosts or ())
        check_positive("session_s", self.session_s)
        if self.secret is not None and len(self.secret) < 16:
            raise InvalidArgument("secret", "must have at least 16 characters, and be random")

    @property
    def hosts(self) -> tuple[str, ...] | None:
        """The names that the Host header may have; None for all.

        Whoever is open to all is open to a page of any site whose name has been made to lead here, which a
        browser takes for that site itself; only the name in the Host header gives it away.
        """
        if self.allowed_hosts is not None:
            return None if "*" in self.allowed_hosts else self.allowed_hosts
        return LOOPBACK if self.open_to_all is not None else None

    def _check_way_in(self) -> None:
        ways = [way for way in _WAYS if getattr(self, way) is not None]
        if not ways:
            raise InvalidArgument(
                "authorize",
                "say who may see the dashboard: authorize=<function from the request to a Role or None>, "
                'credentials=Credentials.read("file"), or open_to_all="viewer" or "operator"',
            )
        if len(ways) > 1:
            raise InvalidArgument(ways[0], f"goes without `{ways[1]}`: pass one of the two")
        if self.authorize is not None and not callable(self.authorize):
            raise InvalidArgument(
                "authorize", "must be a function from a request to a Role or None"
            )
        if self.credentials is not None and not isinstance(self.credentials, Credentials):
            raise InvalidArgument(
                "credentials", "must be made by Credentials.read or Credentials.parse"
            )
        if self.open_to_all is not None and self.open_to_all not in set(Role):
            raise InvalidArgument("open_to_all", 'must be "viewer" or "operator"')
