-- The :size locks with the longest lines, reading up to :cap jobs in lines, and, if there are fewer, locks
-- that are held without a line. Index: job_line, job_line_head, job_pkey.
-- Returns lock, the holder's id and status, how many wait, and when the first of these was deferred.
with line as (
    select lock, count(*) as waiting, min(id) as first_id
    from (
        select lock, id from forthwith.job
        where state in ('blocked', 'arrived') and lock is not null
        limit %(cap)s
    ) job
    group by lock
    order by count(*) desc, lock
    limit %(size)s
), held as (
    select lock from forthwith.job
    where lock is not null and state in ('ready', 'suspect')
    limit %(size)s
), named as (
    select lock, waiting, first_id from line
    union all
    select held.lock, 0, null from held where held.lock not in (select lock from line)
)
select
    named.lock,
    holder.id as holder_id,
    case when holder.id is null then null when holder.worker_id is null then 'todo' else 'doing' end
        as holder_status,
    named.waiting,
    (select deferred_at from forthwith.job where job.id = named.first_id) as oldest_waiting_at,
    (select coalesce(sum(waiting), 0) from line) < %(cap)s as is_exact
from named
left join forthwith.job holder on holder.lock = named.lock and holder.state in ('ready', 'suspect')
order by named.waiting desc, named.lock
limit %(size)s
