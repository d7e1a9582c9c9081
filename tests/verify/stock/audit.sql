-- What src/forthwith/verify/audit.sql writes, for Procrastinate's own tables. There are no tokens.
--
-- Procrastinate keeps a job that has ended in the table of all jobs. Here such a job leaves the live
-- table for history, in one transaction, as the lab's checkers know it.

create table audit (
    seq bigint generated always as identity primary key,
    at timestamptz not null default clock_timestamp(),
    xid bigint not null default (pg_current_xact_id()::text)::bigint,
    actor text not null default current_setting('application_name'),
    relation text not null,
    id bigint not null,
    before text,
    after text,
    token_before bigint,
    token_after bigint,
    worker_before bigint,
    worker_after bigint,
    attempts integer,
    crashes integer,
    lease_until timestamptz,
    name text
);

create table effect (
    seq bigint generated always as identity primary key,
    job_id bigint not null,
    lease_token bigint not null,
    key text not null
);

create function audit_job() returns trigger language plpgsql as $$
declare
    was_live boolean := tg_op <> 'INSERT' and old.status in ('todo', 'doing');
    is_live boolean := tg_op <> 'DELETE' and new.status in ('todo', 'doing');
begin
    if tg_op = 'UPDATE' then
        if old.status = new.status then
            return null;
        end if;
    end if;
    if was_live or is_live then
        insert into audit (relation, id, before, after, worker_before, worker_after, attempts)
        values ('job', coalesce(new.id, old.id),
                case when was_live then old.status::text end, case when is_live then new.status::text end,
                case when was_live then old.worker_id end, case when is_live then new.worker_id end,
                case when is_live then new.attempts else old.attempts end);
    end if;
    if tg_op <> 'INSERT' and not was_live then
        insert into audit (relation, id, before, worker_before, attempts)
        values ('finished_job', old.id, old.status::text, old.worker_id, old.attempts);
    end if;
    if tg_op <> 'DELETE' and not is_live then
        insert into audit (relation, id, after, worker_after, attempts)
        values ('finished_job', new.id, new.status::text, new.worker_id, new.attempts);
    end if;
    return null;
end
$$;

create function audit_worker() returns trigger language plpgsql as $$
begin
    if tg_op = 'DELETE' then
        insert into audit (relation, id, before) values ('worker', old.id, 'alive');
    else
        insert into audit (relation, id, before, after, lease_until, name)
        values ('worker', new.id, case when tg_op = 'INSERT' then null else 'alive' end, 'alive',
                new.last_heartbeat + make_interval(secs => LEASE_S), current_setting('application_name'));
    end if;
    return null;
end
$$;

create trigger audit after insert or update or delete on procrastinate_jobs
    for each row execute function audit_job();
create trigger audit after insert or update or delete on procrastinate_workers
    for each row execute function audit_worker();
