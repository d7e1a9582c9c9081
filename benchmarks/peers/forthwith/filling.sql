-- finished
insert into forthwith.finished_job (
    id, lease_token, deferred_at, claimed_at, priority, attempts, status, crashes, crashes_max,
    abort_requested, worker_id, queue, task, args)
select nextval('forthwith.job_id_seq'), 1, clock_timestamp(), clock_timestamp(), 0, 1, 'succeeded', 0, 3,
    false, 1, 'other', 'other', jsonb_build_object('number', number)
from generate_series(1, %s::integer) number
-- scheduled
insert into forthwith.job (queue, task, state, scheduled_at, args)
select 'default', 'noop', 'scheduled', clock_timestamp() + interval '1 day',
    jsonb_build_object('number', number)
from generate_series(1, %s::integer) number
-- waiting
insert into forthwith.job (queue, task, state, args)
select 'other', 'other', 'ready', jsonb_build_object('number', number)
from generate_series(1, %s::integer) number
-- locked
insert into forthwith.job (queue, task, state, lock, args)
select case number when 1 then 'other' else 'default' end, 'noop',
    case number when 1 then 'ready' else 'blocked' end::forthwith.job_state, 'hot',
    jsonb_build_object('number', number)
from generate_series(1, %s::integer) number
