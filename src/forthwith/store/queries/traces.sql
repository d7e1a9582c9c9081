-- Whose traces do these jobs (:ids) belong to? Index: job_trace_pkey. Returns job, traceparent and
-- tracestate, for those whose deferrer traced.
select job_id, traceparent, tracestate
from forthwith.job_trace where job_id = any (%(ids)s::bigint[])
