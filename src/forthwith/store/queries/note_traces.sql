-- Take down whose traces these jobs (:job_ids) belong to, in the transaction that defers them: W3C's
-- :traceparents and :tracestates. Goes by a function with the owner's rights. Returns nothing.
select forthwith.note_traces(
    %(job_ids)s::bigint[], %(traceparents)s::text[], %(tracestates)s::text[])
