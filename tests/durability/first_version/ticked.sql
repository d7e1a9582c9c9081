-- Note which job (:job_id) a tick has become, and forget the task's earlier ticks.
with forgotten as (
    delete from forthwith.periodic_defer
    where task = %(task)s and periodic_id = %(periodic_id)s and defer_timestamp < %(defer_timestamp)s
)
update forthwith.periodic_defer set job_id = %(job_id)s
where task = %(task)s and periodic_id = %(periodic_id)s and defer_timestamp = %(defer_timestamp)s
