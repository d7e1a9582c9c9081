-- What lies ahead: seconds until the next scheduled job is due (negative: overdue; null: none), and
-- whether there are suspects to claim. Index: job_scheduled, job_suspect.
select
    (select extract(epoch from scheduled_at - clock_timestamp())::float8
     from forthwith.job where state = 'scheduled' order by scheduled_at limit 1) as next_due_s,
    exists (select from forthwith.job where state = 'suspect' and worker_id is null) as has_suspects
