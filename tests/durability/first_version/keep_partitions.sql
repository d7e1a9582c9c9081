-- Make the partitions of the next days and drop those older than :retention_s seconds (null: none).
-- Returns the names of those dropped.
select forthwith.keep_partitions(%(days_ahead)s, make_interval(secs => %(retention_s)s::float8))
