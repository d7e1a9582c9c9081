-- Compatible since: 0001_first_schema
--
-- Batches of jobs that differ in their arguments alone: docs/decisions/0017-batches-travel-as-one-json-array.md

-- Insert a job for each element of args, an array of objects, in that order. NOTIFY if always_notify or
-- if a worker of that queue sleeps. Returns the ids, in order, and for how many queues it notified.
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
