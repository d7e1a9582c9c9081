-- Extend :worker_id's lease to :lease_s seconds from now. Index: worker_pkey. Returns nothing if the
-- worker was taken for dead and its jobs were rescued.
update forthwith.worker
set last_seen = clock_timestamp(),
    lease_expires_at = clock_timestamp() + make_interval(secs => %(lease_s)s)
where id = %(worker_id)s
returning id
