-- Where this transaction is: when the server started and which database it is, and its own isolation,
-- id and limit on idling. And what became of an :earlier transaction (an id as text; null: there is none).
select
    pg_postmaster_start_time(),
    (select oid::bigint from pg_database where datname = current_database()),
    current_setting('transaction_isolation'),
    pg_current_xact_id()::text,
    (select setting::integer from pg_settings where name = 'idle_in_transaction_session_timeout'),
    case when %(earlier)s::text::xid8 < pg_snapshot_xmax(pg_current_snapshot())
        then pg_xact_status(%(earlier)s::text::xid8) end
