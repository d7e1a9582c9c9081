-- How many jobs have failed as poison in the last hour, up to 1,001, and the last of them.
-- Index: failed_attempt_at.
select count(*) as count, max(job_id) as last_job_id
from (
    select job_id from forthwith.failed_attempt
    where at > statement_timestamp() - interval '1 hour'
      and kind = 'crashed' and message like '%% Failed as poison.'
    limit 1001
) poison
