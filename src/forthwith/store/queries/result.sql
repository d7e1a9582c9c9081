-- What there is to say of a job's end (:id). Index: job_pkey, finished_job_id, result_pkey,
-- failed_attempt_job_id. Returns one row: whether the job is live, its final status (null: it is live, or
-- not known), whether its result is kept and that as JSON, and of its last failed attempt the exception's
-- type, its message and the traceback.
select
    exists (select from forthwith.job where id = %(id)s),
    ended.status,
    kept.job_id is not null,
    kept.value,
    failed.exception_type,
    failed.message,
    failed.traceback
from (select) as one
left join lateral (
    select status::text from forthwith.finished_job where id = %(id)s limit 1
) as ended on true
left join lateral (
    select job_id, value::text from forthwith.result
    where job_id = %(id)s and expires_at > clock_timestamp()
) as kept on true
left join lateral (
    select exception_type, message, traceback from forthwith.failed_attempt
    where job_id = %(id)s and ended.status in ('failed', 'aborted')
    order by attempt desc, at desc limit 1
) as failed on true
