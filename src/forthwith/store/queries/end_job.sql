-- Give a live job (:id) the final status :status by hand, keeping it in history unless :delete_job. Who
-- waits for its result is told on :done_channel. Locks: the row. Returns its id, if it was the head of its
-- lock's line the lock, whose line is to be advanced, and how often it was told.
with ended as (
    delete from forthwith.job where id = %(id)s returning job.*
), unlocked as (
    delete from forthwith.queueing_lock using ended
    where queueing_lock.key = ended.queueing_lock and queueing_lock.job_id = ended.id
), archived as (
    insert into forthwith.finished_job (
        id, lease_token, worker_id, deferred_at, scheduled_at, claimed_at, priority, attempts, status,
        crashes, crashes_max, abort_requested, queue, task, lock, queueing_lock, args)
    select
        id, lease_token, worker_id, deferred_at, scheduled_at, claimed_at, priority,
        attempts + (worker_id is not null)::integer, %(status)s::forthwith.job_status,
        crashes, crashes_max, abort_requested, queue, task, lock, queueing_lock, args
    from ended where not %(delete_job)s
), told as (
    select pg_notify(%(done_channel)s, id::text) from ended
)
select id, case when state in ('ready', 'suspect') then lock end, (select count(*) from told) as notified
from ended
