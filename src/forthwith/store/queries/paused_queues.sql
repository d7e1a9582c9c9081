-- The paused queues: one row each, by name, and since when. Index: none, the table is small.
select queue, paused_at from forthwith.queue_pause order by queue
