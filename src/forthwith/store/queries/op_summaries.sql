-- The jobs :ids, live or finished, newest first; arguments only if they take no more than 4,000 bytes.
-- Index: job_pkey, finished_job_id.
select * from (
    select
        id, case when worker_id is null then 'todo' else 'doing' end as status,
        case
            when worker_id is not null then 'running'
            when state = 'scheduled' and scheduled_at > statement_timestamp() then 'scheduled'
            when state in ('blocked', 'arrived') then 'blocked'
            when state = 'suspect' then 'suspect'
            else 'ready'
        end as state,
        queue, task, case when octet_length(args::text) <= 4000 then args::text end as args,
        octet_length(args::text) as args_bytes, priority, lock, queueing_lock, attempts, crashes, worker_id,
        deferred_at, scheduled_at, claimed_at as started_at, null::timestamptz as finished_at,
        abort_requested
    from forthwith.job where id = any (%(ids)s::bigint[])
    union all
    select
        id, status::text, status::text, queue, task,
        case when octet_length(args::text) <= 4000 then args::text end, octet_length(args::text), priority,
        lock, queueing_lock, attempts, crashes, worker_id, deferred_at, scheduled_at, claimed_at,
        finished_at, abort_requested
    from forthwith.finished_job where id = any (%(ids)s::bigint[])
) job
order by id desc
