-- Count live jobs by queue and task, reading up to :cap rows. A job is running, ready (due, and free to be
-- claimed), blocked behind another of its lock, or scheduled for later.
-- Index: none, it reads the table once; whoever asks shares the answer for a while. Returns queue, task,
-- the counts, and since when the first ready one has waited.
select
    queue,
    task,
    count(*) filter (where worker_id is not null) as running,
    count(*) filter (where is_free and (state in ('ready', 'suspect') or is_due)) as ready,
    count(*) filter (where is_free and state in ('blocked', 'arrived')) as blocked,
    count(*) filter (where is_free and state = 'scheduled' and not is_due) as scheduled,
    min(greatest(deferred_at, scheduled_at))
        filter (where is_free and (state in ('ready', 'suspect') or is_due)) as oldest_waiting_at
from (
    select
        queue, task, worker_id, worker_id is null as is_free, state, deferred_at, scheduled_at,
        state = 'scheduled' and scheduled_at <= statement_timestamp() as is_due
    from forthwith.job
    limit %(cap)s
) job
group by queue, task
order by queue, task
