-- Is a periodic task (:task, :periodic_id) paused? Index: periodic_task_pkey. Returns a row if it is.
select paused_at from forthwith.periodic_task
where task = %(task)s and periodic_id = %(periodic_id)s and paused_at is not null
