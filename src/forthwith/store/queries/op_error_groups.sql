-- Failed attempts of the last :within_s seconds, up to :cap of them, by task, kind and exception type, the
-- most frequent first. The message is the last one's first line. Index: failed_attempt_at, and job_pkey
-- and finished_job_id for each.
with attempt as materialized (
    select job_id, at, kind, exception_type, message
    from forthwith.failed_attempt
    where at > statement_timestamp() - make_interval(secs => %(within_s)s)
    limit %(cap)s
), told as (
    select
        coalesce(
            (select task from forthwith.job where job.id = attempt.job_id),
            -- A job that failed lately ended later than that: only these days' partitions are looked at.
            (select task from forthwith.finished_job
             where finished_job.id = attempt.job_id
               and finished_at > statement_timestamp() - make_interval(secs => %(within_s)s)
             limit 1)
        ) as task,
        attempt.*
    from attempt
)
select
    task,
    kind::text,
    exception_type,
    count(*) as count,
    min(at) as first_at,
    max(at) as last_at,
    (array_agg(job_id order by at desc))[1] as last_job_id,
    (array_agg(left(split_part(message, E'\n', 1), 500) order by at desc))[1] as message
from told
group by task, kind, exception_type
order by count(*) desc, max(at) desc
limit 100
