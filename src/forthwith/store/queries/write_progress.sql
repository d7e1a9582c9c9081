-- Write how far jobs (:ids) say that they are (:dones, :totals, :notes), of those that are still held by the
-- claim of :lease_tokens. Locks: the rows of progress, in the order of ids. Index: job_pkey, progress_pkey.
-- Returns the ids of those.
insert into forthwith.progress (job_id, done, total, note)
select job.id, said.done, said.total, said.note
from unnest(
    %(ids)s::bigint[], %(lease_tokens)s::bigint[], %(dones)s::float8[], %(totals)s::float8[], %(notes)s::text[]
) as said (id, lease_token, done, total, note)
join forthwith.job on job.id = said.id and job.lease_token = said.lease_token and job.worker_id is not null
order by job.id
on conflict (job_id) do update
    set at = clock_timestamp(), done = excluded.done, total = excluded.total, note = excluded.note
returning job_id
