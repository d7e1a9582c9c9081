-- End :worker_id's lease now: it leaves jobs behind, and others shall not wait for them.
update forthwith.worker set lease_expires_at = clock_timestamp() where id = %(worker_id)s
