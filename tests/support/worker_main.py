"""The program of a worker process: `python -m tests.support.worker_main MODULE OPTIONS`.

MODULE is an importable module that has a forthwith app called `app`; OPTIONS is a JSON object that
is passed to `app.run_worker`. The database comes from FORTHWITH_DATABASE_URL, as in production.
"""

from __future__ import annotations

import importlib
import json
import logging
import sys


def main(module_name: str, options: str) -> None:
    """Run the worker until a signal stops it."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    module = importlib.import_module(module_name)
    module.app.run_worker(**json.loads(options))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
