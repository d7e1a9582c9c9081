-- What the lab adds to a queue's schema to observe it: every change of a job's row or a worker's row,
-- written by triggers in the transaction that makes the change, and the effects of `transfer` tasks.
--
-- The order of `seq` is that of the statements, not of the commits. For one job that is the same: its
-- row is locked from the change to the commit.

create table forthwith.audit (
    seq bigint generated always as identity primary key,
    at timestamptz not null default clock_timestamp(),
    xid bigint not null default (pg_current_xact_id()::text)::bigint,
    actor text not null default current_setting('application_name'),
    relation text not null,                    -- job, finished_job or worker
    id bigint not null,
    before text,                               -- the job's status; null: no row
    after text,
    token_before bigint,
    token_after bigint,
    worker_before bigint,
    worker_after bigint,
    attempts integer,
    crashes integer,
    lease_until timestamptz,                   -- of a worker
    name text                                  -- of a worker
);

create table forthwith.effect (
    seq bigint generated always as identity primary key,
    job_id bigint not null,
    lease_token bigint not null,
    key text not null
);

create function forthwith.audit_job() returns trigger
    language plpgsql
    set search_path = pg_catalog
as $$
begin
    if tg_op = 'INSERT' then
        insert into forthwith.audit (relation, id, after, token_after, worker_after, attempts, crashes)
        values ('job', new.id, case when new.worker_id is null then 'todo' else 'doing' end,
                new.lease_token, new.worker_id, new.attempts, new.crashes);
    elsif tg_op = 'UPDATE' then
        if new.worker_id is distinct from old.worker_id or new.lease_token <> old.lease_token then
            insert into forthwith.audit (relation, id, before, after, token_before, token_after,
                                         worker_before, worker_after, attempts, crashes)
            values ('job', new.id,
                    case when old.worker_id is null then 'todo' else 'doing' end,
                    case when new.worker_id is null then 'todo' else 'doing' end,
                    old.lease_token, new.lease_token, old.worker_id, new.worker_id,
                    new.attempts, new.crashes);
        end if;
    else
        insert into forthwith.audit (relation, id, before, token_before, worker_before, attempts, crashes)
        values ('job', old.id, case when old.worker_id is null then 'todo' else 'doing' end,
                old.lease_token, old.worker_id, old.attempts, old.crashes);
    end if;
    return null;
end
$$;

create function forthwith.audit_finished_job() returns trigger
    language plpgsql
    set search_path = pg_catalog
as $$
begin
    if tg_op = 'INSERT' then
        insert into forthwith.audit (relation, id, after, token_after, worker_after, attempts, crashes)
        values ('finished_job', new.id, new.status::text, new.lease_token, new.worker_id,
                new.attempts, new.crashes);
    else
        insert into forthwith.audit (relation, id, before, token_before, worker_before, attempts, crashes)
        values ('finished_job', old.id, old.status::text, old.lease_token, old.worker_id,
                old.attempts, old.crashes);
    end if;
    return null;
end
$$;

create function forthwith.audit_worker() returns trigger
    language plpgsql
    set search_path = pg_catalog
as $$
begin
    if tg_op = 'DELETE' then
        insert into forthwith.audit (relation, id, before) values ('worker', old.id, 'alive');
    elsif tg_op = 'INSERT' or new.lease_expires_at <> old.lease_expires_at then
        insert into forthwith.audit (relation, id, before, after, lease_until, name)
        values ('worker', new.id, case when tg_op = 'INSERT' then null else 'alive' end, 'alive',
                new.lease_expires_at, new.name);
    end if;
    return null;
end
$$;

create trigger audit after insert or update or delete on forthwith.job
    for each row execute function forthwith.audit_job();
create trigger audit after insert or delete on forthwith.finished_job
    for each row execute function forthwith.audit_finished_job();
create trigger audit after insert or update or delete on forthwith.worker
    for each row execute function forthwith.audit_worker();
