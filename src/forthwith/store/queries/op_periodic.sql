-- The periodic tasks that workers have told of, with the last tick that became a job.
-- Index: periodic_defer_pkey, and job_pkey and finished_job_id for each.
select
    known.task, known.periodic_id, known.cron, known.queue, known.paused_at, known.seen_at,
    to_timestamp(last.defer_timestamp) as last_at, last.job_id as last_job_id,
    coalesce(
        (select case when worker_id is null then 'todo' else 'doing' end
         from forthwith.job where job.id = last.job_id),
        (select status::text from forthwith.finished_job where finished_job.id = last.job_id limit 1)
    ) as last_status
from forthwith.periodic_task known
left join lateral (
    select defer_timestamp, job_id from forthwith.periodic_defer
    where periodic_defer.task = known.task and periodic_defer.periodic_id = known.periodic_id
    order by defer_timestamp desc
    limit 1
) last on true
order by known.task, known.periodic_id
