"""forthwith itself, through the same protocol as every other peer."""
