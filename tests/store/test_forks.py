"""A process that forks after it used its app: parent and child go on, each on its own connections."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import psycopg

if TYPE_CHECKING:
    import os

FORKING = """
import os
import sys
import forthwith

app = forthwith.App(sys.argv[1])
deferrer = app.configure_task("some.task")
deferrer.defer(who="before")
child = os.fork()
if child == 0:
    for number in range(20):
        deferrer.defer(who="child", number=number)
    app.close()
    os._exit(0)
for number in range(20):
    deferrer.defer(who="parent", number=number)
_, status = os.waitpid(child, 0)
app.close()
sys.exit(os.waitstatus_to_exitcode(status))
"""


def test_parent_and_child_defer_after_a_fork(database_url: str, tmp_path: os.PathLike[str]) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", FORKING, database_url],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ended.returncode == 0, ended.stderr
    with psycopg.connect(database_url) as connection:
        rows = connection.execute(
            "select args ->> 'who', count(*) from forthwith.job group by 1 order by 1"
        ).fetchall()
    assert rows == [("before", 1), ("child", 20), ("parent", 20)]
