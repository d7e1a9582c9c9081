-- What ended in the last :within_s seconds of :queue and :task (null: any), in steps of :step_s seconds,
-- the oldest first; steps without any have zeros. What was given back before it ran is no attempt.
-- Index: tally_pkey.
with step as (
    select start as at
    from generate_series(
        date_bin(make_interval(secs => %(step_s)s), statement_timestamp()
            - make_interval(secs => %(within_s)s) + make_interval(secs => %(step_s)s), 'epoch'),
        statement_timestamp(),
        make_interval(secs => %(step_s)s)) start
), ended as (
    select
        date_bin(make_interval(secs => %(step_s)s), minute, 'epoch') as at,
        outcome, sum(attempts) as attempts, sum(run_s) as run_s, sum(wait_s) as wait_s
    from forthwith.tally
    where minute >= (select min(at) from step)
      and outcome <> 'released'
      and (%(queue)s::text is null or queue = %(queue)s)
      and (%(task)s::text is null or task = %(task)s)
    group by 1, 2
)
select
    step.at,
    %(step_s)s::integer as step_s,
    coalesce(sum(attempts) filter (where outcome = 'succeeded'), 0)::bigint as succeeded,
    coalesce(sum(attempts) filter (where outcome = 'failed'), 0)::bigint as failed,
    coalesce(sum(attempts) filter (where outcome = 'retried'), 0)::bigint as retried,
    coalesce(sum(attempts) filter (where outcome = 'aborted'), 0)::bigint as aborted,
    coalesce(sum(attempts) filter (where outcome = 'crashed'), 0)::bigint as crashed,
    (sum(run_s) / nullif(sum(attempts), 0))::float8 as run_mean_s,
    (sum(wait_s) / nullif(sum(attempts), 0))::float8 as wait_mean_s
from step left join ended on ended.at = step.at
group by step.at
order by step.at
