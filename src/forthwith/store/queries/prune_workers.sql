-- Forget workers not seen for :unseen_s seconds that hold no job. Locks: their rows (skip locked).
-- Returns their ids.
select forthwith.forget_workers(array(
    select id from forthwith.worker
    where last_seen < clock_timestamp() - make_interval(secs => %(unseen_s)s)
    for update skip locked))
