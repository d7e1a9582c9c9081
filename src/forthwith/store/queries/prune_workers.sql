-- Forget workers not seen for :unseen_s seconds that hold no job. Returns their ids.
delete from forthwith.worker
where last_seen < clock_timestamp() - make_interval(secs => %(unseen_s)s)
  and not exists (select from forthwith.job where job.worker_id = worker.id)
returning id
