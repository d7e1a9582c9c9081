-- Is there a job table? Returns its name or null.
select to_regclass('forthwith.job')::text
