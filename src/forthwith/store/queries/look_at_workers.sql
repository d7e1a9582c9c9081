-- Look at the workers, to see who is silent. Whether a session holds the advisory lock is asked of
-- :doubted_ids alone, because it reads all locks of the server. Locks: none. Index: none, the table is
-- small. Returns id, when it was last seen, the lease and the interval of its renewals in seconds (null:
-- not known), whether the lease has expired, whether the worker has ended, whether it has a session (null:
-- not asked), and the server's age in seconds.
select
    id,
    last_seen,
    coalesce(lease_s, case
        when isfinite(lease_expires_at) then extract(epoch from lease_expires_at - last_seen)::float8
    end),
    renew_interval_s,
    lease_expires_at < clock_timestamp(),
    ended,
    case when id = any (%(doubted_ids)s::bigint[])
        then (id %% 2147483647)::oid in (select forthwith.worker_locks_held())
    end,
    extract(epoch from clock_timestamp() - pg_postmaster_start_time())::float8
from forthwith.worker
