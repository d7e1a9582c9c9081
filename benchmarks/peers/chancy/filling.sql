-- finished
insert into chancy_jobs (id, queue, func, kwargs, state, attempts, max_attempts, started_at, completed_at)
select (lpad(to_hex((extract(epoch from clock_timestamp()) * 10000000)::bigint), 15, '0')
    || '78' || substr(md5(random()::text), 1, 15))::uuid,
    'other', 'other', jsonb_build_object('number', number), 'succeeded', 1, 3, now(), now()
from generate_series(1, %s::integer) number
-- scheduled
insert into chancy_jobs (id, queue, func, kwargs, max_attempts, scheduled_at)
select (lpad(to_hex((extract(epoch from clock_timestamp()) * 10000000)::bigint), 15, '0')
    || '78' || substr(md5(random()::text), 1, 15))::uuid,
    'default', 'benchmarks.peers.chancy.tasks.noop',
    jsonb_build_object('number', number), 3, now() + interval '1 day'
from generate_series(1, %s::integer) number
-- waiting
insert into chancy_jobs (id, queue, func, kwargs, max_attempts)
select (lpad(to_hex((extract(epoch from clock_timestamp()) * 10000000)::bigint), 15, '0')
    || '78' || substr(md5(random()::text), 1, 15))::uuid,
    'other', 'other', jsonb_build_object('number', number), 3
from generate_series(1, %s::integer) number
