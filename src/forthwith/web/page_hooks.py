"""What the pages draw for the rest of the dashboard, if there are pages.

`forthwith.web.pages` may have, besides its `router`:

- `login_page(request, *, target, problem, status) -> Response`: the form for POST {base}/login, with the
  fields `name`, `password` and `next` (the target, a path below the base), and what was wrong before or None;
- `problem_page(request, *, status, detail) -> Response`: why a page is not shown. Who asks is not known then.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType


@cache
def pages() -> ModuleType | None:
    """Return the pages' module; None where there is none."""
    if find_spec("forthwith.web.pages") is None:
        return None
    return import_module("forthwith.web.pages")


def page_hook(name: str) -> Callable[..., Any] | None:
    """Return what the pages draw under that name; None if they don't."""
    hook: Callable[..., Any] | None = getattr(pages(), name, None)
    return hook
