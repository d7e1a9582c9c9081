-- Let a periodic task (:task, :periodic_id) go on with its next tick. Index: periodic_task_pkey. Returns
-- whether it was paused; nothing if it is not known.
with known as (
    select paused_at from forthwith.periodic_task
    where task = %(task)s and periodic_id = %(periodic_id)s
    for update
)
update forthwith.periodic_task set paused_at = null
from known
where task = %(task)s and periodic_id = %(periodic_id)s
returning known.paused_at is not null
