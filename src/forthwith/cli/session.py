"""From the common options to an open app: what every command but `worker` runs in."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import click

from forthwith.cli.app_loader import load_app
from forthwith.cli.database_report import connector_of
from forthwith.cli.settings import Settings, current_settings

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from forthwith import App
    from forthwith.operations import Desk

Result = TypeVar("Result")


def required_app() -> App:
    """Return the user's app; raise a usage error where none was named."""
    return load_app(required_app_path())


def required_app_path() -> str:
    """Return the path of the user's app; raise a usage error where none was named."""
    settings = current_settings()
    _refuse_both(settings)
    if settings.app_path is None:
        raise click.UsageError("this needs an app: pass --app pkg.module:app or set FORTHWITH_APP")
    return settings.app_path


def any_app() -> App:
    """Return the user's app or, where none was named, an app without tasks on the database."""
    settings = current_settings()
    _refuse_both(settings)
    return load_app(settings.app_path) if settings.app_path else _bare_app(settings.database)


def in_open_app(
    app: App, operation: Callable[[App], Awaitable[Result]], *, any_schema: bool = False
) -> Result:
    """Open `app`, await `operation` on it, close it, and return the result.

    Raises `SchemaError` for a schema that does not fit, unless `any_schema` will do.
    """
    import asyncio

    connector_of(app)

    async def opened() -> Result:
        async with app.open_async():
            if not any_schema:
                await app.schema_manager.check_async()
            return await operation(app)

    return asyncio.run(opened())


def at_desk(app: App, operation: Callable[[Desk], Awaitable[Result]]) -> Result:
    """Open `app` and a desk at its database, await `operation` on the desk, and return the result."""

    async def seated(app: App) -> Result:
        from forthwith.operations import Desk

        async with Desk(app) as desk:
            return await operation(desk)

    return in_open_app(app, seated)


def _bare_app(database: str | None) -> App:
    from forthwith import App

    return App(database)


def _refuse_both(settings: Settings) -> None:
    if settings.app is not None and settings.database is not None:
        raise click.UsageError("--app and --database exclude each other: an app has its database")
