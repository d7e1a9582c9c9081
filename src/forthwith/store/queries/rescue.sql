-- Take over up to :batch_size jobs of workers that are gone (:worker_ids) and still are as they were
-- observed (:last_seens, :sessionless; see the function). Locks: the workers' and the jobs' rows (skip
-- locked). Index: job_worker. Returns job, task, worker and fate: rescued (waits again), released (had
-- not started), failed (crashed too often) or aborted.
select job_id, task, worker_id, fate
from forthwith.rescue(
    %(worker_ids)s::bigint[], %(last_seens)s::timestamptz[], %(sessionless)s::boolean[], %(batch_size)s)
