-- Lock those of the live jobs :ids that are in one of :states now. The others are left as they are.
-- Locks: their rows (skip locked), until the end of the transaction. Index: job_pkey. Returns the ids.
select id from forthwith.job
where id = any (%(ids)s::bigint[])
  and case
    when worker_id is not null then 'running'
    when state = 'scheduled' and scheduled_at > statement_timestamp() then 'scheduled'
    when state in ('blocked', 'arrived') then 'blocked'
    when state = 'suspect' then 'suspect'
    else 'ready'
  end = any (%(states)s::text[])
order by id
for update skip locked
