-- What a job (:id) that waits depends on: its queue's pause, the head of its lock's line, and how many are
-- ahead of it, in the line or in its queue; no more than 1,001 of them are counted.
-- Index: job_pkey, job_line_head, job_line, job_ready.
select
    queue_pause.paused_at,
    holder.id as holder_id, holder.worker_id as holder_worker_id, holder.queue as holder_queue,
    (select count(*) from (
        select from forthwith.job better
        where better.lock = job.lock and better.state in ('blocked', 'arrived')
          and job.state in ('blocked', 'arrived')
          and (-(better.priority::bigint), better.id) < (-(job.priority::bigint), job.id)
        limit 1001) ahead) as ahead_in_line,
    (select count(*) from (
        select from forthwith.job better
        where better.queue = job.queue and better.state = 'ready' and better.worker_id is null
          and job.state = 'ready'
          and (-(better.priority::bigint), better.id) < (-(job.priority::bigint), job.id)
        limit 1001) ahead) as ahead_in_queue
from forthwith.job
left join forthwith.queue_pause on queue_pause.queue = job.queue
left join forthwith.job holder
    on holder.lock = job.lock and holder.state in ('ready', 'suspect') and holder.id <> job.id
where job.id = %(id)s
