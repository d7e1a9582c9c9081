-- Let the server end this transaction if its client is idle in it for :milliseconds. Until its end.
select set_config('idle_in_transaction_session_timeout', %(milliseconds)s::text, true)
