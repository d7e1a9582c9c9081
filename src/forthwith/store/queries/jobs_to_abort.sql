-- Running jobs of :queue (null: any) whose abort was requested. Returns their ids.
select id from forthwith.job
where abort_requested and worker_id is not null and (%(queue)s::text is null or queue = %(queue)s)
