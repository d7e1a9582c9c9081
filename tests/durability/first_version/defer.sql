-- Insert jobs in the order given. One that waits already under its queueing lock is left out.
-- NOTIFY on :channel, once for each queue, if :always_notify or if a worker of that queue sleeps.
-- Index: queueing_lock_pkey, job_queueing_lock. Returns id and queueing lock of each job that was
-- inserted, in order, and how many queues were notified.
with given as materialized (
    select nextval('forthwith.job_id_seq') as id, job.*
    from unnest(
        %(queues)s::text[], %(tasks)s::text[], %(priorities)s::integer[], %(args)s::text[],
        %(locks)s::text[], %(queueing_locks)s::text[], %(scheduled_ats)s::timestamptz[],
        %(crashes_maxes)s::smallint[]
    ) with ordinality as job (
        queue, task, priority, args, lock, queueing_lock, scheduled_at, crashes_max, position)
), locked as (
    insert into forthwith.queueing_lock (key, job_id)
    select given.queueing_lock, given.id
    from given
    where given.queueing_lock is not null and not exists (
        select from forthwith.job waiting
        where waiting.queueing_lock = given.queueing_lock
          and waiting.worker_id is null
          and waiting.lease_token > 0)
    order by given.queueing_lock, given.position  -- in one order everywhere: two batches can't deadlock
    on conflict (key) do nothing
    returning job_id
), inserted as (
    insert into forthwith.job (
        id, queue, task, priority, args, lock, queueing_lock, scheduled_at, crashes_max, state)
    select
        id, queue, task, priority, args::jsonb, lock, queueing_lock, scheduled_at, crashes_max,
        case
            when scheduled_at > clock_timestamp() then 'scheduled'
            when lock is not null then 'arrived'
            else 'ready'
        end::forthwith.job_state
    from given
    where queueing_lock is null or id in (select job_id from locked)
    order by position
    returning id, queue, queueing_lock
), notified as (
    select pg_notify(%(channel)s, 'queue:' || inserted_queue.queue)
    from (select distinct queue from inserted) inserted_queue
    where %(always_notify)s or exists (
        select from forthwith.worker
        where worker.sleeping
          and (worker.queues is null or inserted_queue.queue = any (worker.queues)))
)
select id, queueing_lock, (select count(*) from notified) as notified from inserted
