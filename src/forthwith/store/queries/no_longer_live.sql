-- Which of these jobs (:ids) have ended, or are not known. Index: job_pkey. Returns their ids.
select asked.id from unnest(%(ids)s::bigint[]) as asked (id)
where not exists (select from forthwith.job where job.id = asked.id)
