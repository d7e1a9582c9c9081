-- Claim the best suspect of those of :queues (null: all) that are not paused: a job that has its last
-- chance after crashes. One at a time, so that a job that kills its workers takes no other one's last
-- chance with it.
-- Locks: the worker's row, as claim.sql, and the claimed row (skip locked). Index: job_suspect. Returns the
-- claimed job, or nothing.
with claimant as materialized (
    select id from forthwith.worker where id = %(worker_id)s and not ended for key share
), picked as materialized (
    select job.id
    from forthwith.job
    where exists (select from claimant)
      and job.state = 'suspect'
      and job.worker_id is null
      and (%(queues)s::text[] is null or job.queue = any (%(queues)s::text[]))
      and job.task <> all (%(unknown_tasks)s::text[])
      and not exists (select from forthwith.queue_pause where queue_pause.queue = job.queue)
    order by -(job.priority::bigint), job.id
    limit 1
    for update skip locked
)
update forthwith.job
set worker_id = %(worker_id)s, lease_token = job.lease_token + 1, claimed_at = clock_timestamp()
from picked
where job.id = picked.id
returning job.id, job.lease_token, job.worker_id, job.queue, job.task, job.priority, job.attempts,
    job.crashes, job.crashes_max, job.args::text, job.lock, job.queueing_lock, job.scheduled_at,
    job.abort_requested,
    date_part('epoch', job.claimed_at - greatest(job.deferred_at, job.scheduled_at))
