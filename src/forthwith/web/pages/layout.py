"""What every page has: the frame, the templates, and how values are written."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.responses import HTMLResponse

from forthwith.web.dependencies import dashboard_of, page_context
from forthwith.web.pages import libraries, names
from forthwith.web.pages.job_query import field_of
from forthwith.web.pages.words import FILTERS, shown
from forthwith.web.paths import base_of

if TYPE_CHECKING:
    from fastapi import Request

_templates = Environment(
    loader=PackageLoader("forthwith.web"),
    autoescape=True,
    finalize=shown,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_templates.filters |= FILTERS


@dataclass(frozen=True, slots=True)
class Link:
    """A link in the bar at the top."""

    path: str
    text: str


BAR = (
    Link("/", "Overview"),
    Link("/jobs", "Jobs"),
    Link("/queues", "Queues"),
    Link("/tasks", "Tasks"),
    Link("/periodic", "Periodic"),
    Link("/locks", "Locks"),
    Link("/workers", "Workers"),
    Link("/health", "Health"),
)


TITLES = {
    404: "Not found",
    409: "Not possible now",
    422: "That cannot be used",
    503: "Not available at present",
}
"""What a page says instead of the phrase that programs get."""
AGAIN_S = 5
SHOWN_MAX = 20_000
"""Characters of arguments or of a result: a page is got again whenever something has changed."""


HTMX = {
    "mode": "same-origin",
    "history": False,
    "includeIndicatorCSS": False,
    "defaultTimeout": 20_000,
    "noSwap": ["204", "304", "4xx", "5xx"],
    # What the reader has opened, and what charts.js has drawn, stays.
    "morphIgnore": ["data-htmx-powered", "open"],
    "morphSkipChildren": "[data-chart]",
}


def page(request: Request, template: str, *, status: int = 200, **values: Any) -> HTMLResponse:
    """Return a page of a request that is signed in."""
    asks, notices = page_context(request), dashboard_of(request).notices
    said = notices.of(request)
    drawn = _drawn(
        template,
        status,
        {
            "base": asks.base,
            "asks": asks,
            "bar": BAR,
            "here": request.url.path.removeprefix(asks.base),
            "said": said,
            "libraries": libraries.are_there(),
            "htmx": HTMX,
            "shown_max": SHOWN_MAX,
            "hour_ago": field_of(datetime.now(UTC) - timedelta(hours=1)),
            **values,
        },
    )
    if said is not None:
        notices.told(request, drawn)
    return drawn


def login_page(request: Request, *, target: str, problem: str | None, status: int) -> HTMLResponse:
    """Return the form to log in with."""
    values = {"base": base_of(request.scope), "target": target, "problem": problem}
    return _drawn("login.html", status, values)


def problem_page(request: Request, *, status: int, detail: str) -> HTMLResponse:
    """Return why a page is not shown. Who asks is not known here."""
    base = base_of(request.scope)
    phrase = HTTPStatus(status).phrase if status in set(HTTPStatus) else "Problem"
    values = {
        "base": base,
        "bar": BAR,
        "here": request.url.path.removeprefix(base),
        "title": TITLES.get(status, phrase),
        "detail": detail,
        "again_s": AGAIN_S if status == 503 and request.method == "GET" else None,
    }
    return _drawn("problem.html", status, values)


def address(base: str, path: str, parameters: dict[str, Any] | None = None) -> str:
    """Return a link to one of our pages, without the parameters that are None, and with names written."""
    given = {
        name: names.written(value) if name in names.FIELDS else value
        for name, value in (parameters or {}).items()
        if value is not None
    }
    return f"{base}{path}" + (f"?{urlencode(given)}" if given else "")


def _drawn(template: str, status: int, values: dict[str, Any]) -> HTMLResponse:
    html = _templates.get_template(template).render(address=address, **values)
    return HTMLResponse(html, status)
