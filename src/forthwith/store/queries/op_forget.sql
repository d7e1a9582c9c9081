-- Delete what is kept beside the jobs :ids, which are gone. Index: the primary keys, and
-- failed_attempt_job_id.
with results as (
    delete from forthwith.result where job_id = any (%(ids)s::bigint[])
), progresses as (
    delete from forthwith.progress where job_id = any (%(ids)s::bigint[])
), traces as (
    delete from forthwith.job_trace where job_id = any (%(ids)s::bigint[])
)
delete from forthwith.failed_attempt where job_id = any (%(ids)s::bigint[])
