-- Take over the jobs of workers that are gone (see the function). Returns job, task, worker and fate:
-- rescued (waits again), released (had not started), failed (crashed too often) or aborted.
select job_id, task, worker_id, fate
from forthwith.rescue(
    make_interval(secs => %(missing_after_s)s), make_interval(secs => %(restart_grace_s)s))
