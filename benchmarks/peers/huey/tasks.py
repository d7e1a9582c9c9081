"""What the Huey consumer imports."""

from __future__ import annotations

import logging

from benchmarks.peers.diary import Work
from benchmarks.peers.huey.queue import make

work = Work()
huey, _ = make(work.database, work.run)
logging.getLogger("huey").addFilter(lambda _: False)
logging.disable(logging.CRITICAL)


@huey.on_startup()
def startup() -> None:
    """Its hook before the first job."""
    work.ready()


work.arrive()
