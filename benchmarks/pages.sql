-- What an operator's pages are measured on: history of ten days, jobs that wait for all sorts of things,
-- workers with running jobs, failed attempts and tallies. :finished and :waiting say how many.

-- step: partitions
do $$
declare
    parent text;
    day date;
begin
    foreach parent in array array['finished_job', 'failed_attempt'] loop
        for back in 1..9 loop
            day := (now() at time zone 'utc')::date - back;
            execute format('create table forthwith.%I partition of forthwith.%I for values from (%L) to (%L)',
                parent || '_' || to_char(day, 'YYYYMMDD'), parent,
                day::timestamp at time zone 'utc', (day + 1)::timestamp at time zone 'utc');
        end loop;
    end loop;
end
$$;

-- step: finished jobs
insert into forthwith.finished_job (
    id, lease_token, worker_id, deferred_at, scheduled_at, claimed_at, finished_at, priority, attempts,
    status, crashes, crashes_max, abort_requested, queue, task, lock, args)
select
    number, 1, 1 + number % 20, at - interval '2 seconds', null, at - interval '1 second', at, 0, 1,
    case
        when number % 100 = 0 then 'failed' when number % 500 = 1 then 'cancelled'
        when number % 1000 = 2 then 'aborted' else 'succeeded'
    end::forthwith.job_status,
    0, 3, false, 'queue-' || number % 5, 'package.module.task_' || number % 20,
    case when number % 50 = 0 then 'lock-' || number % 5000 end,
    jsonb_build_object('number', number, 'to', 'customer' || number || '@example.org', 'kind', 'welcome')
from generate_series(%(first)s::bigint, %(last)s::bigint) number
cross join lateral (
    select greatest(
        now() - interval '9 days' * ((%(finished)s - number)::float8 / %(finished)s),
        date_trunc('day', now() at time zone 'utc') at time zone 'utc' - interval '9 days') as at) moment;

-- step: failed attempts
insert into forthwith.failed_attempt (
    job_id, worker_id, at, attempt, kind, exception_type, message, traceback)
select
    id, worker_id, finished_at, 1, 'failed', (array['ValueError', 'TimeoutError', 'KeyError'])[1 + id / 100 % 3],
    'went wrong with number ' || id, repeat('  File "module.py", line 1, in work' || E'\n', 10)
from forthwith.finished_job where status = 'failed';

-- step: workers
insert into forthwith.worker (
    name, host, pid, concurrency, lease_expires_at, lease_s, renew_interval_s, tasks, running)
select
    'worker-' || number, 'host-' || number % 4, 1000 + number, 100, now() + interval '1 day', 86400, 3600,
    array(select 'package.module.task_' || task from generate_series(0, 19) task), 25
from generate_series(1, 20) number;

-- step: waiting jobs
select setval('forthwith.job_id_seq', %(finished)s);
insert into forthwith.job (queue, task, state, priority, scheduled_at, lock, worker_id, claimed_at, args)
select
    'queue-' || number % 5, 'package.module.task_' || number % 20,
    case
        when number <= 500 then 'ready'
        when number % 20 < 12 then 'ready' when number % 20 < 17 then 'scheduled' else 'blocked'
    end::forthwith.job_state,
    number % 3,
    case when number > 500 and number % 20 between 12 and 16 then now() + number * interval '1 second' end,
    case when number > 500 and number % 20 > 16 then 'lock-' || number % 1000 end,
    case when number <= 500 then 1 + number % 20 end,
    case when number <= 500 then now() end,
    jsonb_build_object('number', number, 'to', 'customer' || number || '@example.org', 'kind', 'newsletter')
from generate_series(1, %(waiting)s::bigint) number;

-- step: heads of lines
insert into forthwith.job (queue, task, state, lock)
select 'queue-0', 'package.module.task_0', 'ready', held.lock
from (select distinct lock from forthwith.job where lock is not null) held;

-- step: tallies
insert into forthwith.tally
select
    minute, 'queue-' || number % 5, 'package.module.task_' || number, outcome, 30,
    3, array[0, 0, 5, 10, 10, 5, 0, 0, 0, 0, 0, 0, 0], 1, array[20, 5, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
from generate_series(
    date_trunc('minute', now()) - interval '1 day', date_trunc('minute', now()), interval '1 minute') minute
cross join generate_series(0, 19) number
cross join unnest(array['succeeded', 'failed']) outcome;

-- step: periodic tasks
insert into forthwith.periodic_task (task, periodic_id, cron, queue)
select 'package.module.task_' || number, '', '*/5 * * * *', 'queue-' || number % 5
from generate_series(0, 19) number;
insert into forthwith.periodic_defer (task, periodic_id, defer_timestamp, job_id)
select 'package.module.task_' || number, '', extract(epoch from now())::bigint - tick * 300, 1 + number + tick
from generate_series(0, 19) number cross join generate_series(1, 288) tick;
