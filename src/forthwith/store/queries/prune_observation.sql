-- Forget what is over: expired results, the progress of jobs that run no more, tallies older than
-- :tally_retention_s and traces older than :trace_retention_s, up to :batch_size rows of each. Returns how
-- many at the most: call it again while it is :batch_size or more.
select forthwith.prune_observation(
    make_interval(secs => %(tally_retention_s)s), make_interval(secs => %(trace_retention_s)s),
    %(batch_size)s::integer)
