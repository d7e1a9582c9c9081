-- Make waiting jobs (:ids, whose rows the caller has locked) due at :at. One that is due later leaves its
-- lock's line; one that is due by now takes its place, as promote_due would give it. Index: job_pkey.
-- Returns id, the queue if it is ready now, and the lock whose line it headed and has left, if so.
with picked as (
    select
        id, lock, state,
        case
            when %(at)s::timestamptz > clock_timestamp() then 'scheduled'
            when state <> 'scheduled' then state::text
            when lock is not null then 'arrived'
            when 0 < crashes and crashes + 1 >= crashes_max then 'suspect'
            else 'ready'
        end::forthwith.job_state as next_state
    from forthwith.job
    where id = any (%(ids)s::bigint[]) and worker_id is null
)
update forthwith.job
set scheduled_at = %(at)s::timestamptz, state = picked.next_state
from picked
where job.id = picked.id and job.worker_id is null
returning
    job.id,
    case when picked.next_state <> 'scheduled' then job.queue end as queue,
    case when picked.next_state = 'scheduled' and picked.state in ('ready', 'suspect') then job.lock end
        as lock
