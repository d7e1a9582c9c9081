"""A worker of the lab as it was before some of its tasks were written: MISSING_TASKS names them."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING, Any

from forthwith.verify import tasks, worker_main

if TYPE_CHECKING:
    import forthwith


def older_app(*settings: Any) -> forthwith.App:
    """Return the lab's app without those tasks."""
    app = tasks.lab_app(*settings)
    for name in os.environ["MISSING_TASKS"].split(","):
        del app.tasks[name]
    return app


if __name__ == "__main__":
    worker_main.lab_app = older_app  # type: ignore[attr-defined]
    worker_main.main(json.loads(sys.argv[1]))
