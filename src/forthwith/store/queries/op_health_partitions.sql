-- Which of the partitions of today and tomorrow (UTC) are missing. Locks: none. Returns their names.
select parent || '_' || to_char(day, 'YYYYMMDD') as name
from unnest(array['finished_job', 'failed_attempt']) parent
cross join unnest(array[
    (statement_timestamp() at time zone 'utc')::date,
    (statement_timestamp() at time zone 'utc')::date + 1]) day
where to_regclass(format('%%I.%%I', 'forthwith', parent || '_' || to_char(day, 'YYYYMMDD'))) is null
order by 1
