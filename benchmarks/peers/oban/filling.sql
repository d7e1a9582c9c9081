-- finished
insert into oban_jobs (state, queue, worker, args, attempt, attempted_at, completed_at)
select 'completed', 'other', 'other', jsonb_build_object('number', number), 1,
    timezone('UTC', now()), timezone('UTC', now())
from generate_series(1, %s::integer) number
-- scheduled
insert into oban_jobs (state, queue, worker, args, scheduled_at)
select 'scheduled', 'default', 'benchmarks.peers.oban.tasks.Noop', jsonb_build_object('number', number),
    timezone('UTC', now()) + interval '1 day'
from generate_series(1, %s::integer) number
-- waiting
insert into oban_jobs (queue, worker, args)
select 'other', 'other', jsonb_build_object('number', number)
from generate_series(1, %s::integer) number
