-- Note which job (:job_id) a tick has become, and forget the task's ticks of a day before it and earlier.
-- Not all earlier ones: another worker's clock may be late, or set back, and come to them again.
with forgotten as (
    delete from forthwith.periodic_defer
    where task = %(task)s and periodic_id = %(periodic_id)s
      and defer_timestamp < %(defer_timestamp)s - 86400
)
update forthwith.periodic_defer set job_id = %(job_id)s
where task = %(task)s and periodic_id = %(periodic_id)s and defer_timestamp = %(defer_timestamp)s
