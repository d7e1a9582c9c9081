-- The lowest id from which on, by and large, jobs were deferred at :at or later: halves the range of ids
-- until it is small. Ids follow the time of the defer but for what was inserted at once.
-- Index: job_pkey, finished_job_id, a few rows for each step. Returns the id.
with recursive bounds as (
    select
        least((select min(id) from forthwith.job), (select min(id) from forthwith.finished_job)) as low,
        greatest((select max(id) from forthwith.job), (select max(id) from forthwith.finished_job)) + 1
            as high
), halving as (
    select low, high, 0 as steps from bounds where low is not null
    union all
    select
        case when is_later then low else middle end,
        case when is_later then middle else high end,
        steps + 1
    from (
        select
            low, high, middle, steps,
            coalesce((
                select found.deferred_at >= %(at)s::timestamptz
                from (
                    (select id, deferred_at from forthwith.job
                     where id >= middle order by id limit 1)
                    union all
                    (select id, deferred_at from forthwith.finished_job
                     where id >= middle order by id limit 1)
                ) found
                order by found.id limit 1
            ), true) as is_later
        from (select low, high, steps, low + (high - low) / 2 as middle from halving) half
    ) probe
    where high - low > 1000 and steps < 64
)
select low as id from halving order by steps desc limit 1
