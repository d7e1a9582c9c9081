-- Whether a transaction (:transaction_id, as text) has been committed. Null: nobody knows, because it is
-- long ago, or because this server never came to that id (after a failover).
select case when %(transaction_id)s::text::xid8 < pg_snapshot_xmax(pg_current_snapshot())
    then pg_xact_status(%(transaction_id)s::text::xid8) end
