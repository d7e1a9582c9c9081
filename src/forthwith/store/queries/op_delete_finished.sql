-- Delete finished jobs (:ids, whose rows the caller has locked). Index: finished_job_id. Returns the ids.
delete from forthwith.finished_job where id = any (%(ids)s::bigint[])
returning id
