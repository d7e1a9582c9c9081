"""The loop: claim a thousand, note their numbers, archive them."""

from __future__ import annotations

import time

import psycopg

from benchmarks.peers.diary import Work

BATCH_SIZE = 1000
IDLE_S = 0.005
CLAIM = """
update job set status = 'doing'
where id = any(array(
    select id from job where status = 'todo' order by id limit %s for update skip locked
))
returning id, number
"""
ARCHIVE = """
with done as (delete from job where id = any(%s) returning id, number, deferred_at)
insert into finished_job select id, number, deferred_at, now() from done
"""


def main() -> None:
    """Work until SIGTERM ends the process."""
    work = Work()
    with psycopg.connect(work.database, autocommit=True) as connection:
        work.arrive()
        work.ready()
        while True:
            claimed = connection.execute(CLAIM, [BATCH_SIZE], prepare=True).fetchall()
            for _, number in claimed:
                work.noop(number)
            if claimed:
                connection.execute(ARCHIVE, [[found for found, _ in claimed]], prepare=True)
            else:
                time.sleep(IDLE_S)


if __name__ == "__main__":
    main()
