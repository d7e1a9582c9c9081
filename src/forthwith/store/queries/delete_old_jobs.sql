-- Delete finished jobs of :statuses and :queue (null: any) that ended more than :hours ago, with their
-- failed attempts.
with deleted as (
    delete from forthwith.finished_job
    where status = any (%(statuses)s::forthwith.job_status[])
      and (%(queue)s::text is null or queue = %(queue)s)
      and finished_at < clock_timestamp() - make_interval(secs => %(hours)s::float8 * 3600)
    returning id
)
delete from forthwith.failed_attempt where job_id in (select id from deleted)
