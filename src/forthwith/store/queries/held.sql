-- Whether a job (:id) is held by the claim of :lease_token. Index: job_pkey.
select exists (select from forthwith.job where id = %(id)s and lease_token = %(lease_token)s)
