-- What ended of each task in the last hour: how many attempts, how many of them failed for good or
-- crashed, how many did not succeed, and the sums and histograms of their run and waiting times. What was
-- given back before it ran is no attempt. Index: tally_pkey.
with recent as materialized (
    select task, outcome, attempts, run_s, run_counts, wait_s, wait_counts
    from forthwith.tally
    where minute > statement_timestamp() - interval '1 hour' and outcome <> 'released'
), totals as (
    select
        task,
        sum(attempts)::bigint as ended_last_hour,
        coalesce(sum(attempts) filter (where outcome in ('failed', 'crashed')), 0)::bigint
            as failed_last_hour,
        coalesce(sum(attempts) filter (where outcome <> 'succeeded'), 0)::bigint as unsuccessful,
        sum(run_s)::float8 as run_s,
        sum(wait_s)::float8 as wait_s
    from recent group by task
), buckets as (
    select recent.task, bucket.place, sum(bucket.run)::bigint as run, sum(bucket.wait)::bigint as wait
    from recent
    cross join unnest(recent.run_counts, recent.wait_counts) with ordinality bucket (run, wait, place)
    group by recent.task, bucket.place
), histograms as (
    select
        task,
        array_agg(coalesce(run, 0) order by place) as run_counts,
        array_agg(coalesce(wait, 0) order by place) as wait_counts
    from buckets group by task
)
select
    totals.task, ended_last_hour, failed_last_hour, unsuccessful, run_s, wait_s,
    coalesce(run_counts, '{}') as run_counts, coalesce(wait_counts, '{}') as wait_counts
from totals left join histograms on histograms.task = totals.task
order by totals.task
