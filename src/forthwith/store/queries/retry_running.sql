-- Take a running job (:id) from its worker and let it wait again until :retry_at, with another priority,
-- queue or lock where given. Its worker's outcome will be refused. Locks: the row. Returns its old lock.
with held as (
    select id, lock from forthwith.job where id = %(id)s and worker_id is not null for update
)
update forthwith.job
set worker_id = null,
    lease_token = job.lease_token + 1,
    claimed_at = null,
    started_at = null,
    attempts = job.attempts + 1,
    scheduled_at = %(retry_at)s::timestamptz,
    priority = coalesce(%(priority)s::integer, job.priority),
    queue = coalesce(%(queue)s::text, job.queue),
    lock = coalesce(%(lock)s::text, job.lock),
    state = case
        when %(retry_at)s::timestamptz > clock_timestamp() then 'scheduled'
        when coalesce(%(lock)s::text, job.lock) is not null then 'arrived'
        when 0 < job.crashes and job.crashes + 1 >= job.crashes_max then 'suspect'
        else 'ready'
    end::forthwith.job_state
from held
where job.id = held.id
returning job.id, held.lock
