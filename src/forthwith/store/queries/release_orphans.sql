-- Give back what :worker_id has claimed but does not know of (all but :known_ids): claims whose answer
-- was lost. Those younger than :age_s may still be on their way. Index: job_worker. Returns the ids.
update forthwith.job
set worker_id = null, lease_token = lease_token + 1, claimed_at = null, started_at = null
where worker_id = %(worker_id)s
  and claimed_at < clock_timestamp() - make_interval(secs => %(age_s)s)
  and id <> all (%(known_ids)s::bigint[])
returning id
