-- Every delivery that the database knows of: one row a job, live or finished, with what it went
-- through. Parameter: the task's name.
with delivery as (
    select id, args, case when worker_id is null then 'todo' else 'doing' end as status
    from forthwith.job
    where task = %(task)s
    union all
    select id, args, status::text
    from forthwith.finished_job
    where task = %(task)s
), trouble as (
    select
        job_id,
        bool_or(kind <> 'crashed') as retried,
        bool_or(kind = 'crashed') as rescued
    from forthwith.failed_attempt
    group by job_id
)
select
    delivery.id as job_id,
    delivery.args ->> 'event_id' as event_id,
    delivery.status,
    coalesce(trouble.retried, false) as retried,
    coalesce(trouble.rescued, false) as rescued
from delivery
left join trouble on trouble.job_id = delivery.id
