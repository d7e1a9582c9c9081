"""The dashboard: pages, a JSON API and live events, as an ASGI application.

```python
from forthwith.web import dashboard

api.mount("/dashboard", dashboard(app, open_to_all="viewer"))
```

`Dashboard` guards and serves, `app` has the routes, `dependencies` what routes are given, `api` the JSON
API, `pages` the HTML.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from forthwith.web.role import Role

if TYPE_CHECKING:
    from forthwith.app import App
    from forthwith.web.asgi import Dashboard

__all__ = ["Role", "dashboard"]


def dashboard(app: App, **settings: Any) -> Dashboard:
    """Return the dashboard of an app's database."""
    from forthwith.web.asgi import Dashboard
    from forthwith.web.settings import Settings

    return Dashboard(app, Settings(**settings))
