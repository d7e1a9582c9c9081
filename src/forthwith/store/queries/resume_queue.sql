-- Let workers claim from :queue again. Run wake.sql after the commit, for those that sleep.
-- Index: queue_pause_pkey. Returns the queue if it was paused.
delete from forthwith.queue_pause where queue = %(queue)s returning queue
