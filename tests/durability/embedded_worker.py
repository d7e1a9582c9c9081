"""A worker process of the lab that starts the embedded PostgreSQL again when that has died.

The lab's own worker program takes a URL, and so leaves the server to whoever runs it. This one takes
the server of FORTHWITH_HOME.
"""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path

from forthwith.verify.diary import Diary
from forthwith.verify.tasks import lab_app


def main() -> None:
    """Run the worker until a signal stops it."""
    settings = json.loads(sys.argv[1])
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    home = Path(settings["home"])
    diary = Diary(home / "diaries" / f"{settings['name']}.jsonl")
    app = lab_app(None, settings["schema"], diary, home)
    app.run_worker(name=settings["name"], **settings["options"])


if __name__ == "__main__":
    main()
