-- finished
insert into finished_job (id, number, deferred_at, finished_at)
select nextval(pg_get_serial_sequence('job', 'id')), -number, clock_timestamp(), clock_timestamp()
from generate_series(1, %s::integer) number
