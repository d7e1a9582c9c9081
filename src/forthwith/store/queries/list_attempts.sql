-- The failed attempts of a job (:job_id), first to last. Index: failed_attempt_job_id.
select job_id, attempt, kind::text, worker_id, at, exception_type, message, traceback
from forthwith.failed_attempt where job_id = %(job_id)s order by attempt, at
