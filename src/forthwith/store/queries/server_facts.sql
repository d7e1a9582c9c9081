-- The server's version and clock, and the names of the migrations that were applied, in order.
-- Locks: none. Index: none, the table has a row a migration.
select
    current_setting('server_version'),
    clock_timestamp(),
    array(select name from forthwith.migration order by name)
