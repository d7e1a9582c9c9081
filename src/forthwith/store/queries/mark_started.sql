-- Note that a job which must not run twice (:id, :lease_token) starts now. Returns its id, or nothing if
-- the lease is lost. Index: job_pkey.
update forthwith.job set started_at = clock_timestamp()
where id = %(id)s and lease_token = %(lease_token)s
returning id
