-- Register a worker that knows these :tasks (null: it does not say) and renews its lease of :lease_s seconds
-- every :renew_interval_s (null: by hand), and take the advisory lock by which its session can be seen to
-- live. Returns its id.
with registered as (
    insert into forthwith.worker (
        name, host, pid, queues, concurrency, tasks, lease_s, renew_interval_s,
        lease_expires_at)
    values (
        %(name)s, %(host)s, %(pid)s, %(queues)s::text[], %(concurrency)s,
        %(tasks)s::text[], %(lease_s)s, %(renew_interval_s)s,
        clock_timestamp() + make_interval(secs => %(lease_s)s))
    returning id
)
select id, pg_try_advisory_lock('forthwith.worker'::regclass::oid::integer, (id %% 2147483647)::integer)
from registered
