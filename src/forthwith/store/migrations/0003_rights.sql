-- Compatible since: 0001_first_schema
--
-- Rights: what a role may do that does not own the schema, and whose functions we call.
-- docs/decisions/0014-defers-by-a-function-with-the-owners-rights.md says why.

-- Whatever a session's search_path is, and whatever look-alikes its temporary schema has: a name without
-- a schema in these functions is PostgreSQL's own. Without pg_temp in the list it would come first.
do $$
declare
    function regprocedure;
begin
    for function in
        select pg_proc.oid from pg_proc where pg_proc.pronamespace = 'forthwith'::regnamespace
    loop
        execute format('alter function %s set search_path = pg_catalog, pg_temp', function);
    end loop;
end
$$;

-- Insert jobs in the order given. One that waits already under its queueing lock is left out. NOTIFY once
-- for each queue, if always_notify or if a worker of that queue sleeps. Returns id and queueing lock of
-- each job that was inserted, in order, and how many queues were notified.
-- Index: queueing_lock_pkey, job_queueing_lock.
--
-- With the owner's rights: who may only defer has none on the tables, so he can neither read what others
-- deferred nor write a row that no defer writes (an id or a state of his choice would break others'
-- defers and lines). That is why what the library refuses is refused here again.
create function forthwith.defer(
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

-- Who may only defer calls it after each commit, and may not read the table of workers.
alter function forthwith.wake(text[]) security definer;

-- Making and dropping partitions is the owner's right, and upkeep a worker's work. It locks all of the
-- history for a moment: behind somebody's long transaction it must not wait for that moment, for all
-- completions would wait behind it. It comes again.
alter function forthwith.keep_partitions(integer, interval) security definer set lock_timeout = '1s';

-- PostgreSQL lets everybody call a new function. Nobody may who was not granted it.
do $$
begin
    execute format('revoke execute on all functions in schema %I from public', 'forthwith');
end
$$;
