-- As op_walk_live, in history. Index: finished_job_id, so many rows of it.
with looked_at as materialized (
    select
        id,
        deferred_at,
        word,
        (%(states)s::text[] is null or word = any (%(states)s::text[]))
        and (%(queue)s::text is null or queue = %(queue)s)
        and (%(task)s::text is null or task = %(task)s)
        and (%(lock)s::text is null or coalesce(lock = %(lock)s, false))
        and (%(worker_id)s::bigint is null or coalesce(worker_id = %(worker_id)s, false))
        and (%(deferred_after)s::timestamptz is null or deferred_at >= %(deferred_after)s)
        and (%(deferred_before)s::timestamptz is null or deferred_at < %(deferred_before)s)
        and (%(ended_after)s::timestamptz is null or finished_at >= %(ended_after)s)
        and (%(texts)s::text[] is null or exists (
            select from unnest(%(texts)s::text[]) as needle (text)
            where strpos(lower(args::text), lower(needle.text)) > 0)) as fits
    from (
        select id, deferred_at, finished_at, queue, task, lock, worker_id, args, status::text as word
        from forthwith.finished_job
        where id < %(below_id)s and id >= %(down_to_id)s
        order by id desc
        limit %(size)s
    ) chunk
)
select
    (select count(*) from looked_at) as looked_at,
    (select min(id) from looked_at) as floor_id,
    (select min(deferred_at) from looked_at) as floor_at,
    array(select id from looked_at where fits order by id desc) as ids,
    array(select word from looked_at where fits order by id desc) as states
