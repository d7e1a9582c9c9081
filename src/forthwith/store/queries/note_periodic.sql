-- Note the periodic tasks that a worker knows (:tasks, :periodic_ids, :crons, :queues). Those that were
-- paused stay so. Index: periodic_task_pkey. Locks: their rows, in order. Returns nothing of interest.
insert into forthwith.periodic_task (task, periodic_id, cron, queue)
select known.task, known.periodic_id, known.cron, known.queue
from unnest(
    %(tasks)s::text[], %(periodic_ids)s::text[], %(crons)s::text[], %(queues)s::text[]
) as known (task, periodic_id, cron, queue)
order by known.task, known.periodic_id
on conflict (task, periodic_id) do update
    set cron = excluded.cron, queue = excluded.queue, seen_at = clock_timestamp()
returning task
