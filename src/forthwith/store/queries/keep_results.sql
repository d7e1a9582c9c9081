-- Keep what jobs (:job_ids) returned (:values, JSON), each for so long (:ttls_s). In the transaction of
-- their completion, for those that were accepted. Index: result_pkey.
insert into forthwith.result (job_id, expires_at, value)
select kept.job_id, clock_timestamp() + make_interval(secs => kept.ttl_s), kept.value::jsonb
from unnest(%(job_ids)s::bigint[], %(values)s::text[], %(ttls_s)s::float8[]) as kept (job_id, value, ttl_s)
on conflict (job_id) do update set expires_at = excluded.expires_at, value = excluded.value
