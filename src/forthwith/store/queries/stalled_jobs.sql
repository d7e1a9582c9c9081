-- Running jobs of :queue and :task (null: any) that were claimed :claimed_s seconds ago or more or, where
-- that is null, whose worker has not been seen for :unseen_s seconds. Returns their ids.
select job.id
from forthwith.job
left join forthwith.worker on worker.id = job.worker_id
where job.worker_id is not null
  and (%(queue)s::text is null or job.queue = %(queue)s)
  and (%(task)s::text is null or job.task = %(task)s)
  and case
    when %(claimed_s)s::float8 is not null
        then job.claimed_at < clock_timestamp() - make_interval(secs => %(claimed_s)s)
    else worker.id is null or worker.ended
        or worker.last_seen < clock_timestamp() - make_interval(secs => %(unseen_s)s::float8)
  end
order by job.id
