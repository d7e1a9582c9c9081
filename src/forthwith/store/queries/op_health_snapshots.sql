-- Who has kept vacuum from removing dead rows of this database for more than :older_s seconds: sessions,
-- prepared transactions and replication slots, the longest first. A role without pg_read_all_stats sees of
-- other roles' sessions only that they are there. Locks: none.
-- Returns kind, name, since when (null: not known), and what it is at.
select kind, name, since, detail from (
    select
        'session' as kind,
        format('pid %%s', pid) as name,
        xact_start as since,
        concat_ws(', ',
            'user ' || usename, 'application ' || nullif(application_name, ''), 'at ' || client_addr::text,
            state) as detail
    from pg_stat_activity
    where datname = current_database()
      and (backend_xmin is not null or backend_xid is not null or state like 'idle in transaction%%')
      and xact_start < clock_timestamp() - make_interval(secs => %(older_s)s)
      and backend_type = 'client backend'
    union all
    select 'prepared', gid, prepared, 'owner ' || owner
    from pg_prepared_xacts
    where database = current_database()
      and prepared < clock_timestamp() - make_interval(secs => %(older_s)s)
    union all
    select
        'slot', slot_name::text, null,
        concat_ws(', ', slot_type, case when active then 'active' else 'inactive' end,
            'behind by ' || age(xmin) || ' transactions')
    from pg_replication_slots
    where xmin is not null and (not active or age(xmin) > 1000000)
) holder
order by since nulls last
limit 20
