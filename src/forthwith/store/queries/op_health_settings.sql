-- Settings of the server on which durability rests, whether autovacuum is on, and its clock. Locks: none.
select
    current_setting('fsync') = 'on' as fsync,
    current_setting('full_page_writes') = 'on' as full_page_writes,
    current_setting('synchronous_commit') as synchronous_commit,
    current_setting('autovacuum') = 'on' as autovacuum,
    clock_timestamp() as now
