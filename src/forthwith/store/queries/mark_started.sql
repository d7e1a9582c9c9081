-- Note that a job which must not run twice (:id, :lease_token) starts now. Whoever deferred it by its
-- name alone may not have known that it must not: from here on its row does. Returns its id, or nothing
-- if the lease is lost. Index: job_pkey.
update forthwith.job set started_at = coalesce(started_at, clock_timestamp()), crashes_max = 1
where id = %(id)s and lease_token = %(lease_token)s
returning id
