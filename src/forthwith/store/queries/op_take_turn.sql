-- One operator's batch at a time, until the end of the transaction: two could each wait for a line of
-- which the other has locked the next job.
select pg_advisory_xact_lock(
    hashtext('forthwith.operator'), hashtext('forthwith.job'::regclass::oid::text))
