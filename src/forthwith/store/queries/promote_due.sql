-- Turn up to :limit scheduled jobs whose time has come into ready ones (arrived, if they have a lock;
-- suspects, if they have their last chance after crashes).
-- The statement's time, not the clock's: that is volatile, and every scheduled job would be looked at.
-- Locks: those rows (skip locked). Index: job_scheduled. Returns how many.
with due as materialized (
    select id from forthwith.job
    where state = 'scheduled' and scheduled_at <= statement_timestamp()
    order by scheduled_at
    limit %(limit)s
    for update skip locked
), promoted as (
    update forthwith.job
    set state = case
        when lock is not null then 'arrived'
        when 0 < crashes and crashes + 1 >= crashes_max then 'suspect'
        else 'ready'
    end::forthwith.job_state
    from due where job.id = due.id
    returning 1
)
select count(*) from promoted
