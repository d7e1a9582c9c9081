-- Move jobs that ended (:ids, :lease_tokens, :statuses), with :spents attempts used, from the live table
-- to history; those with :keeps false leave none. The fence: a row whose token is another by now stays
-- untouched. Locks: the rows. Index: job_pkey. Returns the ids that were accepted.
with outcome as (
    select * from unnest(
        %(ids)s::bigint[], %(lease_tokens)s::bigint[], %(statuses)s::forthwith.job_status[],
        %(keeps)s::boolean[], %(spents)s::integer[]
    ) as outcome (id, lease_token, status, keep, spent)
), ended as (
    delete from forthwith.job
    using outcome
    where job.id = outcome.id
      and job.lease_token = outcome.lease_token
    returning job.*, outcome.status, outcome.keep, outcome.spent
), archived as (
    insert into forthwith.finished_job (
        id, lease_token, worker_id, deferred_at, scheduled_at, claimed_at, priority, attempts, status,
        crashes, crashes_max, abort_requested, queue, task, lock, queueing_lock, args)
    select
        id, lease_token, worker_id, deferred_at, scheduled_at, claimed_at, priority, attempts + spent, status,
        crashes, crashes_max, abort_requested, queue, task, lock, queueing_lock, args
    from ended where keep
)
select id from ended
