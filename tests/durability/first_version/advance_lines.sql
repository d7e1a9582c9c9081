-- Let the next job in line of each of :locks run, now that its head has left. Index: job_line.
select forthwith.advance_lines(%(locks)s::text[])
