-- Live and finished jobs that fit what is not null of :id, :queue, :task, :status, :lock, :queueing_lock
-- and :worker_id; below :before_id, newest first, :limit of them (null: all).
select * from (
    (select
        id, case when worker_id is null then 'todo' else 'doing' end as status, queue, task, args, priority,
        lock, queueing_lock, scheduled_at, attempts, crashes, worker_id, deferred_at,
        claimed_at as started_at, null::timestamptz as finished_at, abort_requested
    from forthwith.job
    where (%(id)s::bigint is null or id = %(id)s)
      and (%(queue)s::text is null or queue = %(queue)s)
      and (%(task)s::text is null or task = %(task)s)
      and (%(status)s::text is null or (%(status)s = 'doing') = (worker_id is not null))
      and (%(status)s::text is null or %(status)s in ('todo', 'doing'))
      and (%(lock)s::text is null or lock = %(lock)s)
      and (%(queueing_lock)s::text is null or queueing_lock = %(queueing_lock)s)
      and (%(worker_id)s::bigint is null or worker_id = %(worker_id)s)
      and (%(before_id)s::bigint is null or id < %(before_id)s)
    order by id desc limit %(limit)s)
    union all
    (select
        id, status::text, queue, task, args, priority, lock, queueing_lock, scheduled_at, attempts, crashes,
        worker_id, deferred_at, claimed_at, finished_at, abort_requested
    from forthwith.finished_job
    where (%(id)s::bigint is null or id = %(id)s)
      and (%(queue)s::text is null or queue = %(queue)s)
      and (%(task)s::text is null or task = %(task)s)
      and (%(status)s::text is null or status::text = %(status)s)
      and (%(lock)s::text is null or lock = %(lock)s)
      and (%(queueing_lock)s::text is null or queueing_lock = %(queueing_lock)s)
      and (%(worker_id)s::bigint is null or worker_id = %(worker_id)s)
      and (%(before_id)s::bigint is null or id < %(before_id)s)
    order by id desc limit %(limit)s)
) job
order by id desc limit %(limit)s
