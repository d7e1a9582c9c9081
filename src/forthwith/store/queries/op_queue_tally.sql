-- What ended in each queue in the last hour: how many failed for good or crashed, and how many ended in
-- the last five whole minutes. What was given back before it ran is no attempt. Index: tally_pkey.
select
    queue,
    coalesce(sum(attempts) filter (
        where outcome in ('failed', 'crashed')
          and minute > statement_timestamp() - interval '1 hour'), 0)::bigint as failed_last_hour,
    coalesce(sum(attempts) filter (
        where minute >= date_trunc('minute', statement_timestamp()) - interval '5 minutes'
          and minute < date_trunc('minute', statement_timestamp())), 0)::bigint as ended_lately
from forthwith.tally
where minute > statement_timestamp() - interval '1 hour' and outcome <> 'released'
group by queue
order by queue
