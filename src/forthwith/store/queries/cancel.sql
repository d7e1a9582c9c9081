-- Cancel a waiting job (:id), into history or, with :delete_job, into nothing. Of a running one, request
-- the abort if :abort, and NOTIFY on :channel. Who waits for the result of a cancelled one is told on
-- :done_channel. Locks: the row. Returns its id and, if it was the head of
-- its lock's line, the lock, whose line is to be advanced; nothing if there was nothing to cancel.
with target as (
    select id, worker_id from forthwith.job where id = %(id)s for update
), ended as (
    delete from forthwith.job using target
    where job.id = target.id and target.worker_id is null
    returning job.*
), unlocked as (
    delete from forthwith.queueing_lock using ended
    where queueing_lock.key = ended.queueing_lock and queueing_lock.job_id = ended.id
), archived as (
    insert into forthwith.finished_job (
        id, lease_token, worker_id, deferred_at, scheduled_at, claimed_at, priority, attempts, status,
        crashes, crashes_max, abort_requested, queue, task, lock, queueing_lock, args)
    select
        id, lease_token, worker_id, deferred_at, scheduled_at, claimed_at, priority, attempts, 'cancelled',
        crashes, crashes_max, abort_requested or %(abort)s, queue, task, lock, queueing_lock, args
    from ended where not %(delete_job)s
), asked as (
    update forthwith.job set abort_requested = true from target
    where job.id = target.id and target.worker_id is not null and %(abort)s
    returning job.id
), told as (
    select pg_notify(%(done_channel)s, id::text) from ended
), notified as (
    select pg_notify(%(channel)s, 'abort') from asked
)
select id, case when state in ('ready', 'suspect') then lock end, (select count(*) from told) as notified
from ended
union all
select id, null, (select count(*) from notified) from asked
