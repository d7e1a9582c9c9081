-- Forget the progress of jobs (:ids) that run here no more. Not of one that another worker holds: it may have
-- said something since. Locks: the rows, in the order of ids. Index: progress_pkey, job_pkey.
delete from forthwith.progress
where job_id in (
    select past.job_id from forthwith.progress as past
    where past.job_id = any (%(ids)s::bigint[])
      and not exists (
        select from forthwith.job
        where job.id = past.job_id and job.worker_id is not null and job.worker_id <> %(worker_id)s)
    order by past.job_id
    for update)
