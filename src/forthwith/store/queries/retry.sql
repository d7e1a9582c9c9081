-- Send claimed jobs (:ids, :lease_tokens) back to wait until :retry_ats, or for :retry_ins seconds from now
-- (both null: not at all), with an attempt used and, where given, another priority, queue or lock. A job
-- whose abort was requested comes back at once, to be aborted; one with its last chance after crashes comes
-- back as a suspect.
-- The fence is that of complete.sql. Locks: the rows. Index: job_pkey. Returns the ids that were accepted.
with outcome as materialized (  -- a time is worked out once
    select
        given.id, given.lease_token, given.priority, given.queue, given.lock,
        coalesce(given.retry_at, clock_timestamp() + make_interval(secs => given.retry_in)) as retry_at
    from unnest(
        %(ids)s::bigint[], %(lease_tokens)s::bigint[], %(retry_ats)s::timestamptz[],
        %(retry_ins)s::float8[], %(priorities)s::integer[], %(queues)s::text[], %(locks)s::text[]
    ) as given (id, lease_token, retry_at, retry_in, priority, queue, lock)
)
update forthwith.job
set worker_id = null,
    lease_token = job.lease_token + 1,
    claimed_at = null,
    started_at = null,
    attempts = job.attempts + 1,
    scheduled_at = coalesce(outcome.retry_at, job.scheduled_at),
    priority = coalesce(outcome.priority, job.priority),
    queue = coalesce(outcome.queue, job.queue),
    lock = coalesce(outcome.lock, job.lock),
    state = case
        when outcome.retry_at > clock_timestamp() and not job.abort_requested then 'scheduled'
        when coalesce(outcome.lock, job.lock) is not null then 'arrived'
        when 0 < job.crashes and job.crashes + 1 >= job.crashes_max then 'suspect'
        else 'ready'
    end::forthwith.job_state
from outcome
where job.id = outcome.id
  and job.lease_token = outcome.lease_token
returning job.id
