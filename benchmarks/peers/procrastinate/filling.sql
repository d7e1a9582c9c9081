-- finished
with job as (
    insert into procrastinate_jobs (queue_name, task_name, priority, args, status, attempts)
    select 'other', 'other', 0, jsonb_build_object('number', number), 'succeeded', 1
    from generate_series(1, %s::integer) number
    returning id
)
insert into procrastinate_events (job_id, type)
select job.id, event.type::procrastinate_job_event_type
from job, (values ('deferred'), ('started'), ('succeeded')) event (type)
-- scheduled
insert into procrastinate_jobs (queue_name, task_name, priority, args, status, scheduled_at)
select 'default', 'noop', 0, jsonb_build_object('number', number), 'todo', now() + interval '1 day'
from generate_series(1, %s::integer) number
-- waiting
insert into procrastinate_jobs (queue_name, task_name, priority, args, status)
select 'other', 'other', 0, jsonb_build_object('number', number), 'todo'
from generate_series(1, %s::integer) number
-- locked
insert into procrastinate_jobs (queue_name, task_name, priority, args, status, lock)
select case number when 1 then 'other' else 'default' end, 'noop', 0, jsonb_build_object('number', number),
    case number when 1 then 'doing' else 'todo' end::procrastinate_job_status, 'hot'
from generate_series(1, %s::integer) number
