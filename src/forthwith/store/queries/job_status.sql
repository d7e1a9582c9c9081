-- The status of a job (:id). Index: job_pkey, finished_job_id. Returns it, or nothing.
select case when worker_id is null then 'todo' else 'doing' end as status
from forthwith.job where id = %(id)s
union all
select status::text from forthwith.finished_job where id = %(id)s
