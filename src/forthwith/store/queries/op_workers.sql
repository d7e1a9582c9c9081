-- The workers that are registered, oldest first, and whether they are silent: their lease is over, or
-- they have missed three renewals. Index: none, the table is small.
select
    id, name, host, pid, queues, concurrency, running, started_at, last_seen, lease_expires_at,
    case when isfinite(lease_expires_at)
        then extract(epoch from lease_expires_at - clock_timestamp())::float8
        else 1e9
    end as lease_left_s,
    ended or lease_expires_at < clock_timestamp()
        or coalesce(last_seen + make_interval(secs => 3 * renew_interval_s) < clock_timestamp(), false)
        as is_silent,
    tasks as tasks_known
from forthwith.worker
order by id
