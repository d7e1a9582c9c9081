"""No queue at all: the least that SQL must do for each job, as the measure of what is possible."""
