-- One job (:id), live or finished, with its arguments, result, progress and trace, and its worker.
-- Index: job_pkey, finished_job_id, and the primary keys of result, progress and job_trace.
select
    job.*,
    worker.name as worker_name, worker.host as worker_host, worker.pid as worker_pid,
    result.value::text as result_value, result.expires_at as result_expires_at,
    progress.at as progress_at, progress.done as progress_done, progress.total as progress_total,
    progress.note as progress_note,
    job_trace.traceparent
from (
    select
        id, case when worker_id is null then 'todo' else 'doing' end as status,
        case
            when worker_id is not null then 'running'
            when state = 'scheduled' and scheduled_at > statement_timestamp() then 'scheduled'
            when state in ('blocked', 'arrived') then 'blocked'
            when state = 'suspect' then 'suspect'
            else 'ready'
        end as state,
        state = 'scheduled' as is_to_be_promoted,
        queue, task, args::text as args, octet_length(args::text) as args_bytes, priority, lock,
        queueing_lock, attempts, crashes, crashes_max, worker_id, deferred_at, scheduled_at,
        claimed_at as started_at, null::timestamptz as finished_at, abort_requested
    from forthwith.job where id = %(id)s
    union all
    select
        id, status::text, status::text, false, queue, task, args::text, octet_length(args::text), priority,
        lock, queueing_lock, attempts, crashes, crashes_max, worker_id, deferred_at, scheduled_at,
        claimed_at, finished_at, abort_requested
    from forthwith.finished_job where id = %(id)s
    limit 1
) job
left join forthwith.worker on worker.id = job.worker_id
left join forthwith.result on result.job_id = job.id and result.expires_at > statement_timestamp()
left join forthwith.progress on progress.job_id = job.id
left join forthwith.job_trace on job_trace.job_id = job.id
