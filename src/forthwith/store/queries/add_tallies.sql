-- Add ended attempts to the tallies of the present minute: how many (:attempts), how long they ran and had
-- waited in all (:runs_s, :waits_s), and how many fell into each bucket (:run_counts, :wait_counts).
-- Locks: the tallies, in the order of their key, as everybody takes them. Index: tally_pkey.
-- Returns nothing.
insert into forthwith.tally (
    minute, queue, task, outcome, attempts, run_s, run_counts, wait_s, wait_counts)
select
    date_trunc('minute', now()), queue, task, outcome, attempts,
    run_s, run_counts::bigint[], wait_s, wait_counts::bigint[]
from unnest(
    %(queues)s::text[], %(tasks)s::text[], %(outcomes)s::text[], %(attempts)s::bigint[],
    %(runs_s)s::float8[], %(run_counts)s::text[], %(waits_s)s::float8[], %(wait_counts)s::text[]
) as counted (queue, task, outcome, attempts, run_s, run_counts, wait_s, wait_counts)
order by queue, task, outcome
on conflict (minute, queue, task, outcome) do update
set attempts = tally.attempts + excluded.attempts,
    run_s = tally.run_s + excluded.run_s,
    run_counts = array(
        select coalesce(present, 0) + coalesce(more, 0)
        from unnest(tally.run_counts, excluded.run_counts) with ordinality as bucket (present, more, number)
        order by number),
    wait_s = tally.wait_s + excluded.wait_s,
    wait_counts = array(
        select coalesce(present, 0) + coalesce(more, 0)
        from unnest(tally.wait_counts, excluded.wait_counts) with ordinality as bucket (present, more, number)
        order by number)
