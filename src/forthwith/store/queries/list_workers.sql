-- The workers that are registered, oldest first.
select id, name, host, pid, queues, concurrency, started_at, last_seen, lease_expires_at
from forthwith.worker order by id
