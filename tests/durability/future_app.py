"""The app of a worker whose version has one more migration than ours: FUTURE_MIGRATION is its text."""

from __future__ import annotations

import os

from forthwith.store import migrate
from tests.support.worker_app import app

__all__ = ["app"]

_ours = migrate.migrations()
_text = os.environ.get("FUTURE_MIGRATION")
if _text is not None:
    _all = (*_ours, migrate.Migration("9001_future", _text))
    migrate.migrations = lambda: _all  # type: ignore[assignment]
