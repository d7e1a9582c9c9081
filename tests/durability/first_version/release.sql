-- Give back claimed jobs (:ids, :lease_tokens) that did not run, or not to their end. No attempt is
-- used; each keeps its place. The fence is that of complete.sql.
-- Locks: the rows. Index: job_pkey. Returns the ids that were accepted.
update forthwith.job
set worker_id = null, lease_token = job.lease_token + 1, claimed_at = null, started_at = null
from unnest(%(ids)s::bigint[], %(lease_tokens)s::bigint[]) as outcome (id, lease_token)
where job.id = outcome.id
  and job.lease_token = outcome.lease_token
returning job.id
