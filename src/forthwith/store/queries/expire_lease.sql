-- End :worker_id's lease for good: it leaves jobs behind, and others shall not wait for them. It neither
-- renews nor claims any more.
update forthwith.worker set ended = true, lease_expires_at = clock_timestamp() where id = %(worker_id)s
