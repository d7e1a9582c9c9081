-- Insert jobs in the order given, and wake a worker (see the function). Runs on the caller's connections,
-- too, whose search_path is not ours: every name has its schema. Returns id and queueing lock of each job
-- that was inserted, in order, and how many queues were notified.
select deferred.id, deferred.queueing_lock, deferred.notified
from forthwith.defer(
    %(queues)s::pg_catalog.text[], %(tasks)s::pg_catalog.text[], %(priorities)s::pg_catalog.int4[],
    %(args)s::pg_catalog.text[], %(locks)s::pg_catalog.text[], %(queueing_locks)s::pg_catalog.text[],
    %(scheduled_ats)s::pg_catalog.timestamptz[], %(crashes_maxes)s::pg_catalog.int2[],
    %(always_notify)s::pg_catalog.bool) deferred
