-- NOTIFY for each of :queues of which a worker sleeps. Run after the commit of a defer that saw nobody
-- asleep: a worker that fell asleep meanwhile looked before the commit, or is seen now. Returns for how
-- many.
select forthwith.wake(%(queues)s::text[])
