-- The isolation level of this transaction. Returns its name.
select current_setting('transaction_isolation')
