-- Pause a periodic task (:task, :periodic_id), or resume it (:paused false). Index: periodic_task_pkey.
-- Returns it if that changed something.
update forthwith.periodic_task
set paused_at = case when %(paused)s then clock_timestamp() end
where task = %(task)s and periodic_id = %(periodic_id)s and (paused_at is not null) <> %(paused)s
returning task
