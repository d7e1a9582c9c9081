-- finished
insert into pgqueuer_log (job_id, status, priority, entrypoint)
select nextval('pgqueuer_id_seq'), status::pgqueuer_status, 0, 'other'
from generate_series(1, %s::integer) number, (values ('queued'), ('picked'), ('successful')) log (status)
-- scheduled
insert into pgqueuer (priority, status, entrypoint, payload, execute_after)
select 0, 'queued', 'noop', number::text::bytea, now() + interval '1 day'
from generate_series(1, %s::integer) number
-- waiting
insert into pgqueuer (priority, status, entrypoint, payload)
select 0, 'queued', 'other', number::text::bytea
from generate_series(1, %s::integer) number
