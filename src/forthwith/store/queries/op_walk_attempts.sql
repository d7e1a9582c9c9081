-- As op_walk_live, among the jobs, live and finished, of which an attempt failed by :error: it looks at
-- :size failed attempts, and at the others of the last one's job. Index: failed_attempt_job_id, so many rows
-- of it.
with attempt as materialized (
    select job_id, exception_type
    from forthwith.failed_attempt
    where job_id < %(below_id)s and job_id >= %(down_to_id)s
    order by job_id desc
    fetch first (%(size)s) rows with ties
), looked_at as materialized (
    select
        job.id,
        job.deferred_at,
        word,
        (%(states)s::text[] is null or word = any (%(states)s::text[]))
        and (%(queue)s::text is null or queue = %(queue)s)
        and (%(task)s::text is null or task = %(task)s)
        and (%(lock)s::text is null or coalesce(lock = %(lock)s, false))
        and (%(worker_id)s::bigint is null or coalesce(worker_id = %(worker_id)s, false))
        and (%(deferred_after)s::timestamptz is null or deferred_at >= %(deferred_after)s)
        and (%(deferred_before)s::timestamptz is null or deferred_at < %(deferred_before)s)
        and (%(ended_after)s::timestamptz is null or coalesce(finished_at >= %(ended_after)s, false))
        and (%(texts)s::text[] is null or exists (
            select from unnest(%(texts)s::text[]) as needle (text)
            where strpos(lower(args::text), lower(needle.text)) > 0)) as fits
    from (select distinct job_id from attempt where exception_type = %(error)s) candidate
    cross join lateral (
        select
            id, deferred_at, null::timestamptz as finished_at, queue, task, lock, worker_id, args,
            case
                when worker_id is not null then 'running'
                when state = 'scheduled' and scheduled_at > statement_timestamp() then 'scheduled'
                when state in ('blocked', 'arrived') then 'blocked'
                when state = 'suspect' then 'suspect'
                else 'ready'
            end as word
        from forthwith.job where job.id = candidate.job_id
        union all
        select id, deferred_at, finished_at, queue, task, lock, worker_id, args, status::text
        from forthwith.finished_job where finished_job.id = candidate.job_id
        limit 1
    ) job
)
select
    (select count(*) from attempt) as looked_at,
    (select min(job_id) from attempt) as floor_id,
    (select min(deferred_at) from looked_at) as floor_at,
    array(select id from looked_at where fits order by id desc) as ids,
    array(select word from looked_at where fits order by id desc) as states
