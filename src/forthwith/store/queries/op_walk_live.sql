-- Look at :size live jobs, from below :below_id down to :down_to_id, the newest first; only at those of
-- :ids, if it is not null. Index: job_pkey, so many rows of it.
-- Returns how many it looked at, the lowest id and the earliest deferral among these, and ids and states of
-- those that fit what is not null of :states, :queue, :task, :lock, :worker_id, :deferred_after,
-- :deferred_before and :texts (one of which the arguments contain).
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
        and (%(texts)s::text[] is null or exists (
            select from unnest(%(texts)s::text[]) as needle (text)
            where strpos(lower(args::text), lower(needle.text)) > 0)) as fits
    from (
        select
            id, deferred_at, queue, task, lock, worker_id, args,
            case
                when worker_id is not null then 'running'
                when state = 'scheduled' and scheduled_at > statement_timestamp() then 'scheduled'
                when state in ('blocked', 'arrived') then 'blocked'
                when state = 'suspect' then 'suspect'
                else 'ready'
            end as word
        from forthwith.job
        where id < %(below_id)s and id >= %(down_to_id)s
          and (%(ids)s::bigint[] is null or id = any (%(ids)s::bigint[]))
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
