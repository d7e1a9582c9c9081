-- Ids of live jobs, unsorted, that may be in one of :states and, where :queue or :lock is not null, of
-- these: up to :cap from each index that can tell. Whichever gave :cap ids has more.
-- Index: job_ready, job_suspect, job_line, job_line_head and job_scheduled. Returns name of the part and id.
(
    select 'ready' as part, id from forthwith.job
    where %(lock)s::text is null and state = 'ready' and worker_id is null
      and 'ready' = any (%(states)s::text[])
      and (%(queue)s::text is null or queue = %(queue)s)
    limit %(cap)s
) union all (
    select 'suspect', id from forthwith.job
    where %(lock)s::text is null and state = 'suspect' and worker_id is null
      and 'suspect' = any (%(states)s::text[])
      and (%(queue)s::text is null or queue = %(queue)s)
    limit %(cap)s
) union all (
    select 'head', id from forthwith.job
    where lock = %(lock)s and lock is not null and state in ('ready', 'suspect')
) union all (
    select 'line', id from forthwith.job
    where lock = %(lock)s and state in ('blocked', 'arrived')
      and 'blocked' = any (%(states)s::text[])
    limit %(cap)s
) union all (
    select 'blocked', id from forthwith.job
    where %(lock)s::text is null and state in ('blocked', 'arrived')
      and 'blocked' = any (%(states)s::text[])
    limit %(cap)s
) union all (
    select 'scheduled', id from forthwith.job
    where state = 'scheduled' and %(states)s::text[] && array['scheduled', 'ready']
    limit %(cap)s
)
