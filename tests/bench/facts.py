"""Facts of a server that holds nothing back."""

from __future__ import annotations

from forthwith.bench.activity import Activity
from forthwith.bench.facts import Facts

QUIET = Activity()
GOOD = Facts(
    forthwith_version="0.1.0",
    python_version="3.13.1",
    system="Linux x86_64",
    cores=8,
    load_average=0.2,
    server="yours",
    server_version="18.0",
    is_local=True,
    settings={
        "autovacuum": "on",
        "commit_delay": "0",
        "fsync": "on",
        "full_page_writes": "on",
        "log_min_duration_statement": "-1",
        "log_statement": "none",
        "max_wal_size": "8GB",
        "shared_buffers": "4GB",
        "synchronous_commit": "on",
        "synchronous_standby_names": "",
        "track_commit_timestamp": "off",
        "wal_level": "replica",
    },
    sizes={"shared_buffers": 4 * 1024**3, "max_wal_size": 8 * 1024**3},
    round_trip_ms=0.1,
    commit_ms=0.6,
    connections_free=90,
    oldest_snapshot_transactions=3,
)
