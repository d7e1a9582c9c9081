"""The JSON API: what the pages show and do, for programs."""

from __future__ import annotations

from fastapi import APIRouter

from forthwith.web.api import actions, jobs, questions, steering
from forthwith.web.api.errors import ALWAYS

router = APIRouter(prefix="/api", responses=ALWAYS)
for part in (questions, jobs, steering, actions):
    router.include_router(part.router)
