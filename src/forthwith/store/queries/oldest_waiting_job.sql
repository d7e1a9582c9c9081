-- The id of the job that was deferred first among those that are due and not claimed.
-- Locks: none. Index: the primary key, up to the first such job.
select id
from forthwith.job
where worker_id is null and state <> 'scheduled'
order by id
limit 1
