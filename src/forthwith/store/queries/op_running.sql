-- Ids of up to :cap jobs that :worker_id (null: any) has claimed. Index: job_worker, whose estimates are so
-- coarse that the planner would rather read the table: switch that off. Returns the ids.
select id from forthwith.job
where worker_id = any (array(
    select worker.id from forthwith.worker
    where %(worker_id)s::bigint is null or worker.id = %(worker_id)s))
limit %(cap)s
