-- Count jobs by :by (queue, task or lock) and status, of those that fit what is not null of :queue,
-- :task, :status and :lock. Returns name, status and count.
select
    case %(by)s when 'queue' then queue when 'task' then task else lock end as name, status, count(*)
from (
    select queue, task, lock, case when worker_id is null then 'todo' else 'doing' end as status
    from forthwith.job
    union all
    select queue, task, lock, status::text from forthwith.finished_job
) job
where (%(queue)s::text is null or queue = %(queue)s)
  and (%(task)s::text is null or task = %(task)s)
  and (%(status)s::text is null or status = %(status)s)
  and (%(lock)s::text is null or lock = %(lock)s)
  and (%(by)s <> 'lock' or lock is not null)
group by 1, 2
order by 1, 2
