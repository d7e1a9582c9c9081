-- Bring a job (:id) that failed, was aborted or was cancelled back from history, to wait until :retry_at,
-- with another priority, queue or lock where given. Locks: the row. Returns its id.
with back as (
    delete from forthwith.finished_job
    where id = %(id)s and status in ('failed', 'aborted', 'cancelled')
    returning *
), forgotten as (  -- what an earlier run returned, if it is kept
    delete from forthwith.result using back where result.job_id = back.id
)
insert into forthwith.job (
    id, lease_token, deferred_at, scheduled_at, priority, attempts, state, crashes_max, queue, task, lock,
    queueing_lock, args)
select
    id, lease_token + 1, deferred_at, %(retry_at)s::timestamptz, coalesce(%(priority)s::integer, priority),
    attempts,
    case
        when %(retry_at)s::timestamptz > clock_timestamp() then 'scheduled'
        when coalesce(%(lock)s::text, lock) is not null then 'arrived'
        else 'ready'
    end::forthwith.job_state,
    crashes_max, coalesce(%(queue)s::text, queue), task, coalesce(%(lock)s::text, lock), queueing_lock, args
from back
returning id
