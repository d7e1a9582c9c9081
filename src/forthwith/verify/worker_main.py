"""The program of a worker process of the lab: `python -m forthwith.verify.worker_main SETTINGS`.

SETTINGS is a JSON object: `url`, `schema`, `home`, `name`, and `options`, which go to run_worker.
"""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path
from typing import Any

from forthwith.orphan import stop_when_supervisor_is_gone
from forthwith.verify.diary import Diary
from forthwith.verify.tasks import lab_app


def main(settings: dict[str, Any]) -> None:
    """Run the worker until a signal stops it, or the lab that started it is gone."""
    stop_when_supervisor_is_gone()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    home = Path(settings["home"])
    diary = Diary(home / "diaries" / f"{settings['name']}.jsonl")
    app = lab_app(settings["url"], settings["schema"], diary, home)
    app.run_worker(name=settings["name"], **settings["options"])


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
