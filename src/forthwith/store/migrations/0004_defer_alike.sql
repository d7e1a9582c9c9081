-- Compatible since: 0001_first_schema
--
-- Batches of jobs that differ in their arguments alone, and no NOTIFY where nobody sleeps, in a caller's
-- transaction either: docs/decisions/0017-batches-travel-as-one-json-array.md and
-- docs/decisions/0018-transactions-that-defer-hold-a-lock.md

-- Announce, until the end of this transaction, that it defers: the worker that falls asleep meanwhile asks
-- has_open_defers before its last look. Returns true if the transaction's snapshot may be older than the
-- sleep of a worker; then it has to notify whatever it sees.
create function forthwith.cannot_see_sleepers() returns boolean
    language plpgsql volatile
    set search_path = pg_catalog, pg_temp
as $$
begin
    perform pg_advisory_xact_lock_shared(
        hashtext('forthwith.defer'), hashtext('forthwith.job'::regclass::oid::text));
    return current_setting('transaction_isolation') <> 'read committed';
end
$$;

-- Is a transaction open that has announced that it defers?
create function forthwith.has_open_defers() returns boolean
    language sql volatile
    set search_path = pg_catalog, pg_temp
as $$
    select exists (
        select from pg_locks
        where pg_locks.locktype = 'advisory'
          and pg_locks.database = (select oid from pg_database where datname = current_database())
          and pg_locks.classid = (hashtext('forthwith.defer')::bigint & 4294967295)::oid
          and pg_locks.objid = (hashtext('forthwith.job'::regclass::oid::text)::bigint & 4294967295)::oid
          and pg_locks.objsubid = 2
          and pg_locks.granted)
$$;

-- As before, but that always_notify, which stands for a transaction of the caller's, notifies only if
-- somebody sleeps or its snapshot may hide who does.
create or replace function forthwith.defer(
        queues text[], tasks text[], priorities integer[], args text[], locks text[],
        queueing_locks text[], scheduled_ats timestamptz[], crashes_maxes smallint[],
        always_notify boolean)
    returns table (id bigint, queueing_lock text, notified bigint)
    language plpgsql volatile security definer
    set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    if exists (
        select from unnest(queues, tasks, args, locks, queueing_locks, crashes_maxes)
            as job (queue, task, args, lock, queueing_lock, crashes_max)
        where not (
            char_length(job.queue) between 1 and 128 and char_length(job.task) between 1 and 128
            and coalesce(char_length(job.lock) between 1 and 512, true)
            and coalesce(char_length(job.queueing_lock) between 1 and 512, true)
            and job.crashes_max >= 1 and starts_with(ltrim(job.args), '{')))
    then
        raise check_violation using
            message = 'a job has a name, a lock, arguments or a crashes_max that no job can have';
    end if;

    if always_notify then
        always_notify := forthwith.cannot_see_sleepers();
    end if;

    return query
    with given as materialized (
        select nextval('forthwith.job_id_seq') as id, job.*
        from unnest(
            queues, tasks, priorities, args, locks, queueing_locks, scheduled_ats, crashes_maxes
        ) with ordinality as job (
            queue, task, priority, args, lock, queueing_lock, scheduled_at, crashes_max, position)
    ), locked as (
        insert into forthwith.queueing_lock (key, job_id)
        select given.queueing_lock, given.id
        from given
        where given.queueing_lock is not null and not exists (
            select from forthwith.job waiting
            where waiting.queueing_lock = given.queueing_lock
              and waiting.worker_id is null
              and waiting.lease_token > 0)
        order by given.queueing_lock, given.position  -- one order everywhere: two batches can't deadlock
        on conflict (key) do nothing
        returning job_id
    ), inserted as (
        insert into forthwith.job (
            id, queue, task, priority, args, lock, queueing_lock, scheduled_at, crashes_max, state)
        select
            id, queue, task, priority, args::jsonb, lock, queueing_lock, scheduled_at, crashes_max,
            case
                when scheduled_at > clock_timestamp() then 'scheduled'
                when lock is not null then 'arrived'
                else 'ready'
            end::forthwith.job_state
        from given
        where queueing_lock is null or id in (select job_id from locked)
        order by position
        returning id, queue, queueing_lock
    ), notified as (
        select pg_notify('forthwith' || '_wake', 'queue:' || inserted_queue.queue)
        from (select distinct queue from inserted) inserted_queue
        where always_notify or exists (
            select from forthwith.worker
            where worker.sleeping
              and (worker.queues is null or inserted_queue.queue = any (worker.queues)))
    )
    select id, queueing_lock, (select count(*) from notified) from inserted;
end
$$;

-- Insert a job for each element of args, an array of objects, in that order. NOTIFY as defer does. Returns the ids, in order, and for how many queues it notified.
--
-- As defer, which does the same for jobs that differ in more, it has the owner's rights and refuses
-- again what the library refuses.
create function forthwith.defer_alike(
        queue text, task text, priority integer, lock text, scheduled_at timestamptz, crashes_max smallint,
        args jsonb, always_notify boolean)
    returns table (ids bigint[], notified bigint)
    language plpgsql volatile security definer
    set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
begin
    if always_notify then
        always_notify := forthwith.cannot_see_sleepers();
    end if;

    if not (
        char_length(queue) between 1 and 128 and char_length(task) between 1 and 128
        and coalesce(char_length(lock) between 1 and 512, true) and crashes_max >= 1)
        or jsonb_path_exists(args, 'strict $[*] ? (@.type() != "object")')
    then
        raise check_violation using
            message = 'a job has a name, a lock, arguments or a crashes_max that no job can have';
    end if;

    with inserted as (
        insert into forthwith.job (queue, task, priority, args, lock, scheduled_at, crashes_max, state)
        select
            queue, task, priority, given.args, lock, scheduled_at, crashes_max,
            case
                when scheduled_at > clock_timestamp() then 'scheduled'
                when lock is not null then 'arrived'
                else 'ready'
            end::forthwith.job_state
        from jsonb_array_elements(args) with ordinality given (args, position)
        order by given.position
        returning job.id
    )
    select array_agg(inserted.id order by inserted.id) into ids from inserted;

    notified := 0;
    if always_notify or exists (
        select from forthwith.worker
        where worker.sleeping and (worker.queues is null or queue = any (worker.queues)))
    then
        perform pg_notify('forthwith' || '_wake', 'queue:' || queue);
        notified := 1;
    end if;
    return next;
end
$$;

do $$
begin
    execute format('revoke execute on all functions in schema %I from public', 'forthwith');
end
$$;
