"""Sessions: a signed cookie says who has logged in, and nothing is kept on the server."""

from __future__ import annotations

import hashlib
import secrets
from typing import TYPE_CHECKING

from itsdangerous import BadSignature, URLSafeTimedSerializer

if TYPE_CHECKING:
    from forthwith.web.credentials import Credentials, Login

COOKIE = "forthwith_session"
_COOKIE_CHARACTERS_MAX = 1024


class Sessions:
    """Makes and reads session cookies.

    A session ends after `lasts_s` seconds, when its user's password or role changes, and with the secret:
    without one a new one is made, so a restart ends all sessions.
    """

    def __init__(self, credentials: Credentials, *, secret: str | None, lasts_s: float) -> None:
        self._credentials = credentials
        self._lasts_s = lasts_s
        self._signer = URLSafeTimedSerializer(
            secret or secrets.token_urlsafe(32),
            salt="forthwith.session",
            signer_kwargs={"digest_method": hashlib.sha256},
        )

    def begin(self, login: Login) -> str:
        """Return the cookie of a new session."""
        return str(self._signer.dumps([login.name, login.fingerprint]))

    def login_of(self, cookie: str) -> Login | None:
        """Return whose session a cookie is; None if it is nobody's, or over."""
        if len(cookie) > _COOKIE_CHARACTERS_MAX:
            return None
        try:
            name, fingerprint = self._signer.loads(cookie, max_age=int(self._lasts_s))
        except (BadSignature, ValueError, TypeError):
            return None
        login = self._credentials.find(name)
        return login if login is not None and login.fingerprint == fingerprint else None
