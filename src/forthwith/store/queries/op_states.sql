-- Which state the jobs :ids are in, live or finished. Index: job_pkey, finished_job_id. Returns id, state.
select
    id,
    case
        when worker_id is not null then 'running'
        when state = 'scheduled' and scheduled_at > statement_timestamp() then 'scheduled'
        when state in ('blocked', 'arrived') then 'blocked'
        when state = 'suspect' then 'suspect'
        else 'ready'
    end as state
from forthwith.job where id = any (%(ids)s::bigint[])
union all
select id, status::text from forthwith.finished_job where id = any (%(ids)s::bigint[])
