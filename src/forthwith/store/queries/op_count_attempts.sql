-- Count the failed attempts of the last :within_s seconds, up to :cap of them. Index: failed_attempt_at.
-- Returns attempts.
select count(*) as attempts
from (
    select from forthwith.failed_attempt
    where at > statement_timestamp() - make_interval(secs => %(within_s)s)
    limit %(cap)s
) attempt
