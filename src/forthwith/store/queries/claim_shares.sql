-- How many of the best :limit ready jobs over all of :queues does each queue have? A claim then locks
-- just that many rows of each. A paused queue has none. Index: job_ready, queue_pause_pkey. Returns queue
-- and size for those that have any.
select best.queue, count(*)::integer as size
from (
    select share.queue, head.priority, head.id
    from unnest(
        %(queues)s::text[], %(after_ranks)s::bigint[], %(after_ids)s::bigint[]
    ) as share (queue, after_rank, after_id)
    cross join lateral (
        select job.priority, job.id
        from forthwith.job
        where job.queue = share.queue
          and job.state = 'ready'
          and job.worker_id is null
          and (-(job.priority::bigint), job.id) > (share.after_rank, share.after_id)
          and job.task <> all (%(unknown_tasks)s::text[])
        order by -(job.priority::bigint), job.id
        limit %(limit)s
    ) head
    where not exists (select from forthwith.queue_pause where queue_pause.queue = share.queue)
    order by head.priority desc, head.id
    limit %(limit)s
) best
group by best.queue
