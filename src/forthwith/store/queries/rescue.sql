-- Take over up to :batch_size jobs of workers that are gone (:worker_ids) and still are as they were
-- observed (:last_seens, :sessionless; see the function). Locks: the workers' and the jobs' rows (skip
-- locked). Index: job_worker, job_pkey. Returns job, task, worker, fate and queue. The fate is rescued
-- (waits again), released (had not started), failed (crashed too often) or aborted. The queue is that of
-- before: what the function changes, this statement's own snapshot does not show.
select rescued.job_id, rescued.task, rescued.worker_id, rescued.fate, coalesce(job.queue, '')
from forthwith.rescue(
    %(worker_ids)s::bigint[], %(last_seens)s::timestamptz[], %(sessionless)s::boolean[], %(batch_size)s) rescued
left join forthwith.job on job.id = rescued.job_id
