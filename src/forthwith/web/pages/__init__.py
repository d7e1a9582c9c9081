"""The dashboard's pages: HTML made on the server, which scripts only keep fresh.

`looking` has the pages that show something, `acting` what their forms do, `layout` what all have in common.
"""

from __future__ import annotations

from fastapi import APIRouter

from forthwith.web.pages import acting, looking
from forthwith.web.pages.layout import login_page, problem_page

__all__ = ["login_page", "problem_page", "router"]

router = APIRouter()
for part in (acting, looking):
    router.include_router(part.router)
