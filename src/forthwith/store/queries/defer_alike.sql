-- Insert jobs that differ in their arguments alone, in the order given, and wake a worker (see the
-- function). Runs on the caller's connections, too, whose search_path is not ours: every name has its
-- schema. Returns the ids, in order, and whether (1) or not (0) the queue was notified.
select deferred.ids, deferred.notified
from forthwith.defer_alike(
    %(queue)s::pg_catalog.text, %(task)s::pg_catalog.text, %(priority)s::pg_catalog.int4,
    %(lock)s::pg_catalog.text, %(scheduled_at)s::pg_catalog.timestamptz, %(crashes_max)s::pg_catalog.int2,
    %(args)s::pg_catalog.jsonb, %(always_notify)s::pg_catalog.bool) deferred
