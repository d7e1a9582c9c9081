-- Compatible since: 0001_first_schema
--
-- A job that has its last chance after crashes stays a suspect when it comes back by a retry, through a line
-- or at its time, too: workers claim it apart from others of its kind. It used to come back as ready.

-- As in 0001, but for the state of the one that gets the lock.
create or replace function forthwith.advance_lines(locks text[]) returns bigint
    language plpgsql volatile
    set search_path = pg_catalog, pg_temp
as $$
declare
    headless_locks text[] := locks;
    advanced_count bigint := 0;
    found_locks text[];
    advanced_queues text[];
begin
    loop
        with line as (
            select distinct line.lock from unnest(headless_locks) as line (lock)
            where line.lock is not null
              and not exists (
                select from forthwith.job holder
                where holder.lock = line.lock and holder.state in ('ready', 'suspect'))
        ), best as materialized (
            select best.id, line.lock
            from line
            cross join lateral (
                select job.id from forthwith.job
                where job.lock = line.lock and job.state in ('blocked', 'arrived')
                order by -(job.priority::bigint), job.id
                limit 1
            ) best
        ), advanced as (
            update forthwith.job
            set state = case
                when 0 < job.crashes and job.crashes + 1 >= job.crashes_max then 'suspect' else 'ready'
            end::forthwith.job_state
            from best
            where job.id = best.id and job.state in ('blocked', 'arrived')
            returning job.queue
        )
        select
            (select array_agg(best.lock) from best), (select array_agg(advanced.queue) from advanced)
        into found_locks, advanced_queues;

        perform forthwith.wake(advanced_queues);  -- they may be another worker's queues
        advanced_count := advanced_count + coalesce(cardinality(advanced_queues), 0);
        exit when coalesce(cardinality(advanced_queues), 0) = coalesce(cardinality(found_locks), 0);
        headless_locks := found_locks;
    end loop;
    return advanced_count;
end
$$;
