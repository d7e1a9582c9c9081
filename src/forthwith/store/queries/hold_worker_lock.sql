-- Take :worker_id's advisory lock again, on a new session. False: the old session still holds it.
select pg_try_advisory_lock('forthwith.worker'::regclass::oid::integer, (%(worker_id)s %% 2147483647)::integer)
