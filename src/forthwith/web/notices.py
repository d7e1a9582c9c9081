"""What has come of a form, told once by the page that it leads to: a signed cookie brings it there.

In the page's address it would be in every link that somebody else writes, too.
"""

from __future__ import annotations

import hashlib
import secrets
from typing import TYPE_CHECKING

from itsdangerous import BadData, URLSafeTimedSerializer

from forthwith.web.paths import base_of, path_of

if TYPE_CHECKING:
    from fastapi import Request, Response

COOKIE = "forthwith_notice"
LASTS_S = 60
CHARACTERS_MAX = 500
_COOKIE_CHARACTERS_MAX = 4096


class Notices:
    """Makes and reads the cookies of notices. Without a secret, those of this process alone."""

    def __init__(self, secret: str | None) -> None:
        self._signer = URLSafeTimedSerializer(
            secret or secrets.token_urlsafe(32),
            salt="forthwith.notice",
            signer_kwargs={"digest_method": hashlib.sha256},
        )

    def give(self, request: Request, response: Response, path: str, text: str) -> None:
        """Have the page at `path`, below the dashboard's own, say this when it is opened next."""
        response.set_cookie(
            COOKIE,
            str(self._signer.dumps([path, text[:CHARACTERS_MAX]])),
            max_age=LASTS_S,
            path=base_of(request.scope) or "/",
            secure=request.url.scheme == "https",
            httponly=True,
            samesite="strict",
        )

    def of(self, request: Request) -> str | None:
        """Return what this page has to say; None if nothing, or if it is not opened but kept fresh."""
        cookie = request.cookies.get(COOKIE, "")
        if not cookie or len(cookie) > _COOKIE_CHARACTERS_MAX or not _is_opened(request):
            return None
        try:
            path, text = self._signer.loads(cookie, max_age=LASTS_S)
        except (BadData, ValueError, TypeError):
            return None
        return str(text) if path == path_of(request.scope) else None

    def told(self, request: Request, response: Response) -> None:
        """Forget the notice, now that it was told."""
        response.delete_cookie(
            COOKIE, path=base_of(request.scope) or "/", httponly=True, samesite="strict"
        )


def _is_opened(request: Request) -> bool:
    """Whether somebody opens the page: no script keeps it fresh, and no browser fetches it on a guess."""
    headers = request.headers
    return (
        headers.get("sec-fetch-mode", "navigate") == "navigate"
        and "hx-request" not in headers
        and "sec-purpose" not in headers
    )
