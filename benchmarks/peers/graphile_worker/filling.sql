-- scheduled
with task as (
    insert into graphile_worker._private_tasks (identifier) values ('noop')
    on conflict (identifier) do update set identifier = excluded.identifier
    returning id
)
insert into graphile_worker._private_jobs (task_id, payload, run_at)
select task.id, json_build_object('number', number), now() + interval '1 day'
from task, generate_series(1, %s::integer) number
-- waiting
with task as (
    insert into graphile_worker._private_tasks (identifier) values ('other')
    on conflict (identifier) do update set identifier = excluded.identifier
    returning id
)
insert into graphile_worker._private_jobs (task_id, payload)
select task.id, json_build_object('number', number)
from task, generate_series(1, %s::integer) number
-- locked
with task as (
    insert into graphile_worker._private_tasks (identifier) values ('noop')
    on conflict (identifier) do update set identifier = excluded.identifier
    returning id
), held as (
    insert into graphile_worker._private_job_queues (queue_name, locked_at, locked_by)
    values ('hot', now(), 'other')
    returning id
)
insert into graphile_worker._private_jobs (job_queue_id, task_id, payload, locked_at, locked_by, attempts)
select held.id, task.id, json_build_object('number', number), case number when 1 then now() end,
    case number when 1 then 'other' end, case number when 1 then 1 else 0 end
from task, held, generate_series(1, %s::integer) number
