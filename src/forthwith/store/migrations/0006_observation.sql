-- Compatible since: 0001_first_schema
--
-- To see and to steer: paused queues, results, progress, tallies, traces, and what workers say of
-- themselves. Nothing here is read or written for a job that uses none of it, but for the look at
-- queue_pause that each claim takes. docs/decisions/0020-observation-beside-the-hot-path.md says why.

-- Queues that nobody may claim from.
create table forthwith.queue_pause (
    queue text primary key,
    paused_at timestamptz not null default clock_timestamp()
);

-- What a task with keep_result returned, written with its job's completion.
create table forthwith.result (
    job_id bigint primary key,
    expires_at timestamptz not null,
    value jsonb not null
);
create index result_expires_at on forthwith.result (expires_at);

-- How far a running job says that it is. Unlogged: after a crash of the server no job runs.
create unlogged table forthwith.progress (
    job_id bigint primary key,
    at timestamptz not null default clock_timestamp(),
    done float8 not null,
    total float8,                              -- null: not known
    note text
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);

-- Ended attempts by minute, queue, task and outcome, as the workers count them: they add what they
-- have counted every few seconds. Statistics: what a killed worker had not added yet is missing.
create table forthwith.tally (
    minute timestamptz not null,
    queue text not null,
    task text not null,
    outcome text not null,                     -- succeeded, failed, retried, aborted, crashed
    attempts bigint not null,
    run_s float8 not null,                     -- the sum of the times that they ran
    run_counts bigint[] not null,              -- how many ran no longer than each bound of a histogram
    wait_s float8 not null,                    -- the sum of the times from due to start
    wait_counts bigint[] not null,
    primary key (minute, queue, task, outcome)
) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);

-- Whose trace a job belongs to, where its deferrer traces: a W3C traceparent, and a tracestate.
create table forthwith.job_trace (
    job_id bigint primary key,
    at timestamptz not null default clock_timestamp(),
    traceparent text not null,
    tracestate text
);
create index job_trace_at on forthwith.job_trace using brin (at);

-- Take down the traces of jobs that the caller has deferred. With the owner's rights, as defer is.
create function forthwith.note_traces(job_ids bigint[], traceparents text[], tracestates text[])
    returns void
    language sql volatile security definer
    set search_path = pg_catalog, pg_temp
as $$
    insert into forthwith.job_trace (job_id, traceparent, tracestate)
    select noted.job_id, left(noted.traceparent, 200), left(noted.tracestate, 512)
    from unnest(job_ids, traceparents, tracestates) as noted (job_id, traceparent, tracestate)
    on conflict (job_id) do nothing
$$;

-- The periodic tasks that workers know, and which of them are paused.
create table forthwith.periodic_task (
    task text not null,
    periodic_id text not null,
    cron text not null,
    queue text not null,
    seen_at timestamptz not null default clock_timestamp(),
    paused_at timestamptz,                     -- null: it is not
    primary key (task, periodic_id)
);

alter table forthwith.worker
    add column tasks text[],                   -- the tasks that it knows; null: a version that does not say
    add column running integer;                -- how many jobs it ran when it last renewed its lease

-- What failed in the last hour, grouped by error. BRIN: attempts are written in the order of time.
create index failed_attempt_at on forthwith.failed_attempt using brin (at)
    with (pages_per_range = 16, autosummarize = on);

-- Forget up to batch_size rows a table of what is over: expired results, progress of jobs that run no
-- more, tallies and traces older than that. Returns how many. Call it again while it is batch_size or more.
create function forthwith.prune_observation(
        tally_retention interval, trace_retention interval, batch_size integer)
    returns bigint
    language plpgsql volatile
    set search_path = pg_catalog, pg_temp
as $$
declare
    pruned bigint := 0;
    deleted bigint;
begin
    if not pg_try_advisory_xact_lock(
        hashtext('forthwith.prune_observation'), hashtext('forthwith.job'::regclass::oid::text))
    then
        return 0;
    end if;

    delete from forthwith.result where result.job_id in (
        select expired.job_id from forthwith.result expired
        where expired.expires_at < clock_timestamp()
        order by expired.expires_at limit batch_size for update skip locked);
    get diagnostics deleted = row_count;
    pruned := greatest(pruned, deleted);

    delete from forthwith.progress where progress.job_id in (
        select past.job_id from forthwith.progress past
        where not exists (select from forthwith.job where job.id = past.job_id)
        limit batch_size for update skip locked);
    get diagnostics deleted = row_count;
    pruned := greatest(pruned, deleted);

    delete from forthwith.tally where tally.ctid = any (array(
        select old.ctid from forthwith.tally old
        where old.minute < clock_timestamp() - tally_retention
        order by old.minute limit batch_size for update skip locked));
    get diagnostics deleted = row_count;
    pruned := greatest(pruned, deleted);

    delete from forthwith.job_trace where job_trace.job_id in (
        select old.job_id from forthwith.job_trace old
        where old.at < clock_timestamp() - trace_retention
          and not exists (select from forthwith.job where job.id = old.job_id)
        limit batch_size for update skip locked);
    get diagnostics deleted = row_count;
    return greatest(pruned, deleted);
end
$$;

-- PostgreSQL lets everybody call a new function. Nobody may who was not granted it.
do $$
begin
    execute format('revoke execute on all functions in schema %I from public', 'forthwith');
end
$$;
