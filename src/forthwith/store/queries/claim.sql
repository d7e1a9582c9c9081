-- Claim up to :limits ready jobs of each of :queues under :worker_id's lease, each queue from where its
-- last claim ended (:after_ranks, :after_ids; rank is -priority), leaving out :unknown_tasks and, unless
-- :crashed_too, jobs whose worker has died before. Nothing of a paused queue.
-- Locks: the worker's row first, so that it is not taken for dead between our look and our commit: a
-- claimed job always has a registered worker. Then the claimed rows (skip locked). Index: job_ready, and
-- one probe of queue_pause_pkey for each queue. Returns the claimed jobs, in no order.
with claimant as materialized (
    select id from forthwith.worker where id = %(worker_id)s and not ended for key share
), share as materialized (  -- so that no row of a paused queue is locked before it is known to be one
    select share.*
    from unnest(
        %(queues)s::text[], %(limits)s::integer[], %(after_ranks)s::bigint[], %(after_ids)s::bigint[]
    ) as share (queue, size, after_rank, after_id)
    where not exists (select from forthwith.queue_pause where queue_pause.queue = share.queue)
), picked as materialized (
    select best.id, best.queueing_lock, share.size
    from claimant cross join share
    cross join lateral (
        select job.id, job.queueing_lock
        from forthwith.job
        where job.queue = share.queue
          and job.state = 'ready'
          and job.worker_id is null
          and (-(job.priority::bigint), job.id) > (share.after_rank, share.after_id)
          and job.task <> all (%(unknown_tasks)s::text[])
          and (job.crashes = 0 or %(crashed_too)s)
        order by -(job.priority::bigint), job.id
        limit share.size
        for update skip locked
    ) best
), unlocked as (
    delete from forthwith.queueing_lock
    using picked
    where picked.queueing_lock is not null
      and queueing_lock.key = picked.queueing_lock
      and queueing_lock.job_id = picked.id
)
update forthwith.job
set worker_id = %(worker_id)s, lease_token = job.lease_token + 1, claimed_at = clock_timestamp()
from picked  -- their rows are ours by now: each is updated
where job.id = picked.id
returning job.id, job.lease_token, job.worker_id, job.queue, job.task, job.priority, job.attempts,
    job.crashes, job.crashes_max, job.args::text, job.lock, job.queueing_lock, job.scheduled_at,
    job.abort_requested,
    case when picked.size <= 200 or job.id %% 20 = 0  -- it takes the server a microsecond
        then date_part('epoch', job.claimed_at - greatest(job.deferred_at, job.scheduled_at)) end
