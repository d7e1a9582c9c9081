"""Find the app that a path such as `pkg.module:app` names."""

from __future__ import annotations

import importlib
import operator
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from forthwith import upstream
from forthwith.cli.exit_code import ExitCode
from forthwith.cli.failure import CommandFailed

if TYPE_CHECKING:
    from forthwith import App


def load_app(path: str) -> App:
    """Import and return the app at `path`: `pkg.module:app` or `pkg.module.app`.

    The current directory is importable. All of the app's `import_paths` are imported too, so that
    its tasks are known. Raises CommandFailed with APP_NOT_LOADED.
    """
    _make_current_directory_importable()
    found = _import_object(path)
    app = _checked(path, found)
    try:
        upstream.import_tasks(app)
    except (Exception, SystemExit) as error:
        raise _not_loaded(path, f"its import_paths fail: {_named(error)}") from error
    return app


def split_path(path: str) -> tuple[str, str]:
    """Return the module's and the attribute's name; raise CommandFailed where one is missing."""
    separator = ":" if ":" in path else "."
    module, _, attribute = path.rpartition(separator)
    if not module or not attribute:
        raise _not_loaded(path, "write it as `pkg.module:app`")
    return module, attribute


def _import_object(path: str) -> object:
    module_name, attribute = split_path(path)
    try:
        module = importlib.import_module(module_name)
    except (Exception, SystemExit) as error:
        raise _not_loaded(path, _named(error)) from error
    try:
        return operator.attrgetter(attribute)(module)
    except AttributeError as error:
        problem = f"module `{module_name}` has no `{attribute}`"
        raise _not_loaded(path, problem) from error


def _checked(path: str, found: object) -> App:
    import procrastinate

    from forthwith import App

    if isinstance(found, App):
        return found
    if isinstance(found, procrastinate.App):
        raise _not_loaded(
            path,
            "it is a plain procrastinate.App.\nMake it a forthwith app: `app = forthwith.App(...)` "
            "in place of `app = procrastinate.App(...)`; tasks stay as they are.",
        )
    raise _not_loaded(path, f"it is a {type(found).__name__}, not a forthwith.App")


def _make_current_directory_importable() -> None:
    # `python -m forthwith` does this by itself; the installed `forthwith` script does not.
    here = str(Path.cwd())
    if here not in sys.path and "" not in sys.path:
        sys.path.insert(0, here)


def _named(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"


def _not_loaded(path: str, problem: str) -> CommandFailed:
    return CommandFailed(ExitCode.APP_NOT_LOADED, f"cannot load the app `{path}`: {problem}")
