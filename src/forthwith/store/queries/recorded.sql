-- Which of these completions (:ids, :lease_tokens) are in history already? Asked when one is repeated
-- because its answer was lost. Index: finished_job_id. Returns the ids.
select finished_job.id
from unnest(%(ids)s::bigint[], %(lease_tokens)s::bigint[]) as outcome (id, lease_token)
join forthwith.finished_job
    on finished_job.id = outcome.id and finished_job.lease_token = outcome.lease_token
