-- Take a worker that has left off the list, unless it still holds jobs: then the rescuer must see it.
delete from forthwith.worker
where id = %(worker_id)s
  and not exists (select from forthwith.job where job.worker_id = %(worker_id)s)
returning id
