-- Give back whatever :worker_id holds, because it has to leave at once: no attempt is used, each job keeps
-- its place, and who sleeps there is woken. Not those that must not run twice and have started: the
-- rescuer fails them. Locks: the rows. Index: job_worker. Returns nothing of interest.
with given_back as (
    update forthwith.job
    set worker_id = null, lease_token = job.lease_token + 1, claimed_at = null, started_at = null
    where job.worker_id = %(worker_id)s
      and not (job.crashes_max = 1 and job.started_at is not null)
    returning job.queue
)
select forthwith.wake(array_agg(distinct queue)) from given_back
