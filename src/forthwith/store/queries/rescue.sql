-- Take over up to :batch_size jobs of workers that are gone (:worker_ids) and still are as they were
-- observed (:last_seens, :sessionless; see the function). Who waits for the result of one that has ended
-- with that is told on :done_channel. Locks: the workers' and the jobs' rows (skip locked). Index:
-- job_worker, job_pkey. Returns job, task, worker, fate and queue. The fate is rescued (waits again),
-- released (had not started), failed (crashed too often) or aborted. The queue is that of before: what the
-- function changes, this statement's own snapshot does not show.
with rescued as materialized (
    select job_id, task, worker_id, fate
    from forthwith.rescue(
        %(worker_ids)s::bigint[], %(last_seens)s::timestamptz[], %(sessionless)s::boolean[], %(batch_size)s)
), told as materialized (
    select pg_notify(%(done_channel)s, job_id::text) from rescued where fate in ('failed', 'aborted')
)
select rescued.job_id, rescued.task, rescued.worker_id, rescued.fate, coalesce(job.queue, '')
from rescued
left join forthwith.job on job.id = rescued.job_id
cross join (select count(*) from told) as ends  -- nobody would run it otherwise
