-- The relay's own table, beside forthwith's. One statement, safe to repeat and to run from many
-- processes at once: "create table if not exists" alone can fail when two of them race.
do $$
begin
    perform pg_advisory_xact_lock(hashtext('relay schema'));

    create table if not exists cached_resource (
        url text primary key,
        content_type text not null,
        body bytea not null,
        fetched_at timestamptz not null,
        -- Counts jobs, not attempts: it proves that each fetch had its effect exactly once.
        fetch_count bigint not null
    );
    create index if not exists cached_resource_fetched_at on cached_resource (fetched_at);
end
$$
