"""One worker process of `python -m benchmarks.cost`: waits for the word, burns down, says what it took."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
import time

import forthwith
from forthwith.engine.garbage import heap_set_aside


class OnPurpose(Exception):  # noqa: N818 -- no error of anybody
    """What the first run of a failing job raises."""


def main(url: str, concurrency: int) -> None:
    """Print `ready`; at a line on standard input work until nothing is left; print the bill as JSON."""
    logging.getLogger("forthwith").setLevel(logging.CRITICAL)
    app = forthwith.App(url)
    ran = 0
    failed: set[int] = set()

    @app.task(name="nothing")
    async def nothing(number: int) -> None:
        nonlocal ran
        ran += bool(number)

    @app.task(name="fails_once", retry=1)
    async def fails_once(number: int) -> None:
        nonlocal ran
        if number not in failed:
            failed.add(number)
            raise OnPurpose(number)
        ran += 1

    async def burn_down() -> None:
        async with app.open_async():
            print("ready", flush=True)
            await asyncio.to_thread(sys.stdin.readline)
            began_s, cpu_s = time.monotonic(), time.process_time()
            with heap_set_aside():  # as `App.run_worker` and the command line do
                await app.run_worker_async(
                    queues=["default"],
                    concurrency=concurrency,
                    wait=False,
                    install_signal_handlers=False,
                )
            bill = {
                "ran": ran,
                "cpu_s": time.process_time() - cpu_s,
                "clock_s": time.monotonic() - began_s,
            }
            print(json.dumps(bill), flush=True)

    asyncio.run(burn_down())


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
