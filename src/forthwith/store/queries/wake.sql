-- NOTIFY on :channel for each of :queues of which a worker sleeps. Run after the commit of a defer that
-- saw nobody asleep: a worker that fell asleep meanwhile looked before the commit, or is seen now.
select pg_notify(%(channel)s, 'queue:' || queue.name)
from unnest(%(queues)s::text[]) as queue (name)
where exists (
    select from forthwith.worker
    where worker.sleeping and (worker.queues is null or queue.name = any (worker.queues)))
