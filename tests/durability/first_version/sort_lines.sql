-- Put up to :batch_size newly arrived jobs in line behind the others of their locks. Returns how many.
select forthwith.sort_lines(%(batch_size)s)
