-- Move jobs that ended alike (:ids, :lease_tokens), with :status and :spent attempts used, from the live
-- table to history; unless :keep, they leave none. The fence: a row whose token is another by now stays
-- untouched. Locks: the rows. Index: job_pkey. Returns the ids that were accepted.
with outcome as (
    select * from unnest(%(ids)s::bigint[], %(lease_tokens)s::bigint[]) as outcome (id, lease_token)
), ended as (
    delete from forthwith.job
    using outcome
    where job.id = outcome.id
      and job.lease_token = outcome.lease_token
    returning job.*
), archived as (
    insert into forthwith.finished_job (
        id, lease_token, worker_id, deferred_at, scheduled_at, claimed_at, priority, attempts, status,
        crashes, crashes_max, abort_requested, queue, task, lock, queueing_lock, args)
    select
        id, lease_token, worker_id, deferred_at, scheduled_at, claimed_at, priority,
        attempts + %(spent)s::integer, %(status)s::forthwith.job_status,
        crashes, crashes_max, abort_requested, queue, task, lock, queueing_lock, args
    from ended where %(keep)s::boolean
)
select id from ended
