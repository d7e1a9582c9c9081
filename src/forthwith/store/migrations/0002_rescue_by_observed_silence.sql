-- Compatible since: 0001_first_schema
--
-- Rescues by observed silence: who is gone is decided by the rescuer, who has watched the workers by a
-- clock of its own. docs/decisions/0009-rescues-after-silence.md says why. The function
-- rescue(interval, interval) stays as it is, for workers of the version before.

alter table forthwith.worker
    add column lease_s float8,            -- how long a renewal lasts; null: a version that does not say
    add column renew_interval_s float8,   -- how often it means to renew
    -- Its lease is over for good: it left with jobs claimed, or some of them were rescued. Such a worker
    -- neither renews nor claims any more, so that it can't come back to half of its jobs.
    add column ended boolean not null default false;

-- The advisory locks that sessions of workers hold. A worker's is its id, as far as that fits.
create function forthwith.worker_locks_held() returns setof oid
    language sql volatile
    set search_path = pg_catalog, pg_temp
as $$
    select pg_locks.objid from pg_locks
    where pg_locks.locktype = 'advisory'
      and pg_locks.granted
      and pg_locks.database = (select oid from pg_database where datname = current_database())
      and pg_locks.classid = ('forthwith.worker'::regclass)::oid
      and pg_locks.objsubid = 2
$$;

-- Which of these workers hold jobs? Index: job_worker.
create function forthwith.workers_with_jobs(worker_ids bigint[]) returns bigint[]
    language sql volatile
    set search_path = pg_catalog, pg_temp
as $$
    select coalesce(array_agg(distinct job.worker_id), '{}')
    from forthwith.job where job.worker_id = any (worker_ids)
$$;

-- What becomes of a job whose worker has died.
create function forthwith.fate_of(job forthwith.job) returns text
    language sql immutable
    set search_path = pg_catalog, pg_temp
as $$
    select case
        when job.crashes_max = 1 and job.started_at is null then 'released'
        when job.abort_requested then 'aborted'
        when job.crashes + 1 >= job.crashes_max then 'failed'
        else 'rescued'
    end
$$;

-- Take these jobs, whose rows the caller has locked, from their dead workers.
--
-- The run that the worker's death ended counts as an attempt and as a crash. The job runs again unless
-- it has used up crashes_max, or was to be aborted. One that must not run twice (crashes_max = 1) and
-- had not started is simply given back.
create function forthwith.rescue_jobs(job_ids bigint[])
    returns table (job_id bigint, task text, worker_id bigint, fate text)
    language plpgsql volatile
    set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    lock text;
    queue text;
    left_locks text[] := '{}';
    waiting_queues text[] := '{}';
begin
    for job_id, task, worker_id, fate, lock, queue in
    with held as materialized (
        select job.id, job.worker_id, job.task, job.lock, job.queue, forthwith.fate_of(job) as fate
        from forthwith.job where job.id = any (job_ids)
    ), released as (
        update forthwith.job
        set worker_id = null, lease_token = job.lease_token + 1, claimed_at = null
        from held where job.id = held.id and held.fate = 'released'
    ), rescued as (
        update forthwith.job
        set worker_id = null, lease_token = job.lease_token + 1, claimed_at = null, started_at = null,
            -- With its last chance it is a suspect, and workers claim it apart from others of its kind.
            state = case
                when job.crashes + 2 >= job.crashes_max then 'suspect' else 'ready'
            end::forthwith.job_state,
            attempts = job.attempts + 1, crashes = job.crashes + 1
        from held where job.id = held.id and held.fate = 'rescued'
    ), ended as (
        delete from forthwith.job using held
        where job.id = held.id and held.fate in ('failed', 'aborted')
        returning job.*, held.fate
    ), archived as (
        insert into forthwith.finished_job (
            id, lease_token, worker_id, deferred_at, scheduled_at, claimed_at, priority, attempts, status,
            crashes, crashes_max, abort_requested, queue, task, lock, queueing_lock, args)
        select
            id, lease_token, worker_id, deferred_at, scheduled_at, claimed_at, priority, attempts + 1,
            fate::forthwith.job_status, crashes + 1, crashes_max, abort_requested, queue, task, lock,
            queueing_lock, args
        from ended
    ), noted as (
        insert into forthwith.failed_attempt (job_id, worker_id, attempt, kind, exception_type, message)
        select
            job.id, held.worker_id, job.attempts + 1, 'crashed', 'WorkerDied',
            format('Worker %s (%s, pid %s on %s) died or lost its lease while this job was claimed. '
                   'Crash %s of at most %s.%s',
                   held.worker_id, worker.name, worker.pid, worker.host, job.crashes + 1, job.crashes_max,
                   case held.fate when 'failed' then ' Failed as poison.' else '' end)
        from held
        join forthwith.job on job.id = held.id
        left join forthwith.worker on worker.id = held.worker_id
        where held.fate <> 'released'
    )
    select held.id, held.task, held.worker_id, held.fate, held.lock, held.queue from held
    loop
        if fate in ('failed', 'aborted') and lock is not null then
            left_locks := left_locks || lock;
        elsif fate in ('rescued', 'released') then
            waiting_queues := waiting_queues || queue;
        end if;
        return next;
    end loop;

    perform forthwith.advance_lines(left_locks);
    perform forthwith.wake(waiting_queues);
end
$$;

-- Take over up to batch_size jobs of workers that are gone: those of worker_ids that still are as they
-- were observed, that is, were last seen at last_seens and, where sessionless says so, without a session.
-- Call it again while it returns batch_size jobs. Index: job_worker, whatever the statistics say.
--
-- It waits for nobody, so that one transaction that hangs can't keep every dead worker's jobs: a worker
-- that just claims or renews, and a job that somebody has locked, are passed over. A worker is forgotten
-- when no job of its is left, and until then it has ended.
create function forthwith.rescue(
        worker_ids bigint[], last_seens timestamptz[], sessionless boolean[], batch_size integer)
    returns table (job_id bigint, task text, worker_id bigint, fate text)
    language plpgsql volatile
    set search_path = pg_catalog, pg_temp
    set enable_seqscan = off
as $$
#variable_conflict use_column
declare
    gone_ids bigint[];
    left_ids bigint[];
    plain_ids bigint[];
    line_ending_ids bigint[];
    line_ending_id bigint;
    patience text := current_setting('lock_timeout');
begin
    -- One rescue at a time, of whatever version: others would only find rows that are locked.
    if not pg_try_advisory_xact_lock(
        hashtext('forthwith.rescue'), hashtext('forthwith.job'::regclass::oid::text))
    then
        return;
    end if;

    select array_agg(gone.id) into gone_ids
    from (
        select worker.id
        from forthwith.worker
        join unnest(worker_ids, last_seens, sessionless) as silent (id, last_seen, sessionless)
            on silent.id = worker.id
        where worker.ended or (
            worker.last_seen = silent.last_seen
            and not (silent.sessionless and (worker.id % 2147483647)::oid in (
                select forthwith.worker_locks_held())))
        for update of worker skip locked
    ) gone;
    if gone_ids is null then
        return;
    end if;

    select
        array_agg(held.id) filter (where not held.ends_line),
        array_agg(held.id) filter (where held.ends_line)
    into plain_ids, line_ending_ids
    from (
        select
            job.id,
            job.lock is not null and forthwith.fate_of(job) in ('failed', 'aborted') as ends_line
        from forthwith.job
        where job.worker_id = any (gone_ids)
        limit batch_size
        for update skip locked
    ) held;

    return query select * from forthwith.rescue_jobs(plain_ids);

    -- Where a line goes on, its next job may be locked by somebody who cancels it in a transaction that
    -- stays open. Then this job is left for the next sweep, and the others are not.
    foreach line_ending_id in array coalesce(line_ending_ids, '{}') loop
        begin
            perform set_config('lock_timeout', '100ms', true);
            return query select * from forthwith.rescue_jobs(array[line_ending_id]);
        exception when lock_not_available then
            null;
        end;
    end loop;
    perform set_config('lock_timeout', patience, true);

    left_ids := forthwith.workers_with_jobs(gone_ids);
    delete from forthwith.worker where worker.id = any (gone_ids) and worker.id <> all (left_ids);
    -- For workers of the version before, a lease that has expired says that a worker has ended.
    update forthwith.worker
    set ended = true, lease_expires_at = least(worker.lease_expires_at, clock_timestamp())
    where worker.id = any (left_ids);
end
$$;

-- Take these workers off the list, unless they hold jobs: a rescue must see those. Returns the ids of
-- those that are off. A claim locks its worker's row; we wait for it, and look for jobs after that, in a
-- fresh snapshot, or a claim on its way would leave jobs without a worker.
create function forthwith.forget_workers(worker_ids bigint[]) returns setof bigint
    language plpgsql volatile
    set search_path = pg_catalog, pg_temp
    set enable_seqscan = off
as $$
begin
    perform from forthwith.worker where worker.id = any (worker_ids) order by worker.id for update;
    return query
    delete from forthwith.worker
    where worker.id = any (worker_ids)
      and worker.id <> all (forthwith.workers_with_jobs(worker_ids))
    returning worker.id;
end
$$;
