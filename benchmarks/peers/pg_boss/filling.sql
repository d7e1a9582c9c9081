-- finished
insert into pgboss.job (name, data, state, retry_limit, retry_delay, policy, started_on, completed_on)
select 'io', jsonb_build_object('number', number), 'completed', 3, 0, 'standard', now(), now()
from generate_series(1, %s::integer) number
-- scheduled
insert into pgboss.job (name, data, retry_limit, retry_delay, policy, start_after)
select 'noop', jsonb_build_object('number', number), 3, 0, 'standard', now() + interval '1 day'
from generate_series(1, %s::integer) number
-- waiting
insert into pgboss.job (name, data, retry_limit, retry_delay, policy)
select 'io', jsonb_build_object('number', number), 3, 0, 'standard'
from generate_series(1, %s::integer) number
