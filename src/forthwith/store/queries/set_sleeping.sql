-- Say whether :worker_id wants a NOTIFY when a job comes. Index: worker_pkey.
update forthwith.worker set sleeping = %(sleeping)s where id = %(worker_id)s
