"""forthwith beside other job queues: the same work, on the same machine, in the same run."""
