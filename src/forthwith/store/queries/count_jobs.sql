-- How many jobs there are in each status, live and finished.
select case when worker_id is null then 'todo' else 'doing' end as status, count(*)
from forthwith.job group by 1
union all
select status::text, count(*) from forthwith.finished_job group by 1
