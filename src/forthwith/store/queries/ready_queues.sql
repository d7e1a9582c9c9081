-- List the queues among :queues (null: all) that have a ready job and are not paused, by hopping from one
-- to the next. Index: job_ready, queue_pause_pkey, one probe for each queue. Returns the names.
with recursive hop as (
    select min(job.queue) as queue from forthwith.job where job.state = 'ready'
    union all
    select (
        select min(job.queue) from forthwith.job where job.state = 'ready' and job.queue > hop.queue)
    from hop where hop.queue is not null
)
select queue from hop
where queue is not null and (%(queues)s::text[] is null or queue = any (%(queues)s::text[]))
  and not exists (  -- offset: a probe for each, where a join might read all pauses there are
    select from forthwith.queue_pause where queue_pause.queue = hop.queue offset 0)
