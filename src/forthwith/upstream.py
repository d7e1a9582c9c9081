"""The one place that touches Procrastinate's internals.

Everything else in forthwith uses Procrastinate's documented names. What has no documented name is
wrapped here, so that a new Procrastinate release is checked by reading one file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import procrastinate
    from procrastinate.tasks import Task


def register_task(blueprint: procrastinate.Blueprint, task: Task[..., Any, ...]) -> None:
    """Make `task` known to `blueprint` under its name and its aliases.

    Procrastinate only registers tasks that its own decorator made. Raises `TaskAlreadyRegistered`.
    """
    blueprint._register_task(task)
