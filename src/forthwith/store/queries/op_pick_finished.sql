-- Lock those of the finished jobs :ids that have one of the statuses :states. Locks: their rows (skip
-- locked), until the end of the transaction. Index: finished_job_id. Returns id and queue.
select id, queue from forthwith.finished_job
where id = any (%(ids)s::bigint[]) and status::text = any (%(states)s::text[])
order by id
for update skip locked
