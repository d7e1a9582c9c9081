-- Which of the running jobs :ids shall be aborted? Index: job_pkey. Returns the ids.
select id from forthwith.job
where id = any (%(ids)s::bigint[]) and abort_requested and worker_id is not null
