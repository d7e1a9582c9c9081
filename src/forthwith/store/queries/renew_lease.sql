-- Extend :worker_id's lease to :lease_s seconds from now, and say in how many seconds the next renewal
-- comes (:renew_interval_s; null: as before) and how many jobs it runs (:running; null: as before).
-- Index: worker_pkey. Returns nothing if the worker was taken for dead and its jobs, or some of them, were
-- rescued.
update forthwith.worker
set last_seen = clock_timestamp(),
    lease_expires_at = clock_timestamp() + make_interval(secs => %(lease_s)s),
    renew_interval_s = coalesce(%(renew_interval_s)s::float8, renew_interval_s),
    running = coalesce(%(running)s::integer, running)
where id = %(worker_id)s and not ended
returning id
