-- Let nobody claim from :queue from now on, and NOTIFY on :channel the workers that hold jobs of it: they
-- give back those that have not started. Index: queue_pause_pkey. Returns the queue if it was not paused.
with paused as (
    insert into forthwith.queue_pause (queue) values (%(queue)s)
    on conflict (queue) do nothing
    returning queue
)
select queue, pg_notify(%(channel)s, 'pause:' || queue) from paused
