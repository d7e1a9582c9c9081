-- Note that :worker_id is alive. Kept for code that drives workers by hand.
update forthwith.worker
set last_seen = clock_timestamp(),
    lease_expires_at = greatest(lease_expires_at, clock_timestamp() + make_interval(secs => %(lease_s)s))
where id = %(worker_id)s
