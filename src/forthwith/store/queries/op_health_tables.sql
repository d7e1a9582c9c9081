-- Dead and live rows of the schema's tables as the statistics say, their size, and whether autovacuum
-- leaves them out. Locks: none.
select
    stat.relname::text as name,
    stat.n_live_tup as live_rows,
    stat.n_dead_tup as dead_rows,
    coalesce(pg_table_size(stat.relid), 0) as table_bytes,
    coalesce('autovacuum_enabled=false' = any (class.reloptions)
        or 'autovacuum_enabled=off' = any (class.reloptions), false) as is_left_out,
    greatest(stat.last_autovacuum, stat.last_vacuum) as vacuumed_at
from pg_stat_user_tables stat
join pg_class class on class.oid = stat.relid
where stat.schemaname = 'forthwith'
order by stat.relname
