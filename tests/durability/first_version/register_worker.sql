-- Register a worker with a lease of :lease_s seconds, and take the advisory lock by which its session
-- can be seen to live. Returns its id.
with registered as (
    insert into forthwith.worker (name, host, pid, queues, concurrency, lease_expires_at)
    values (%(name)s, %(host)s, %(pid)s, %(queues)s::text[], %(concurrency)s,
            clock_timestamp() + make_interval(secs => %(lease_s)s))
    returning id
)
select id, pg_try_advisory_lock('forthwith.worker'::regclass::oid::integer, (id %% 2147483647)::integer)
from registered
