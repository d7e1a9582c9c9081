-- Which of these failed attempts (:job_ids, :attempts, :worker_ids) are recorded already? Asked when
-- they are sent again because an answer was lost. Index: failed_attempt_job_id. Returns the job ids.
select failed_attempt.job_id
from unnest(%(job_ids)s::bigint[], %(attempts)s::integer[], %(worker_ids)s::bigint[])
    as given (job_id, attempt, worker_id)
join forthwith.failed_attempt
    on failed_attempt.job_id = given.job_id
    and failed_attempt.attempt = given.attempt
    and failed_attempt.worker_id = given.worker_id
