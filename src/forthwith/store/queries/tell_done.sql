-- Tell who waits for results, on :channel, that these jobs have ended: a NOTIFY for each of :payloads,
-- which are ids with a space between.
select pg_notify(%(channel)s, payload) from unnest(%(payloads)s::text[]) as payload
