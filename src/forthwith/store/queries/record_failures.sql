-- Keep what went wrong in attempts, one row each. Part of the transaction that records their outcomes.
insert into forthwith.failed_attempt (
    job_id, worker_id, attempt, kind, exception_type, message, traceback)
select * from unnest(
    %(job_ids)s::bigint[], %(worker_ids)s::bigint[], %(attempts)s::integer[],
    %(kinds)s::forthwith.attempt_kind[], %(exception_types)s::text[], %(messages)s::text[],
    %(tracebacks)s::text[])
