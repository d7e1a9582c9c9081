-- Give back what :worker_id has claimed but does not know of (all but :known_ids): claims whose answer
-- was lost. Not by the time of the claim: a clock that was set back would keep them. Locks: the rows; one
-- that somebody else has locked is waited for, as nobody else ever gives it back. Index: job_worker.
-- Returns the ids.
update forthwith.job
set worker_id = null, lease_token = lease_token + 1, claimed_at = null, started_at = null
where worker_id = %(worker_id)s
  and id <> all (%(known_ids)s::bigint[])
returning id
