"""The throughput lab: how fast forthwith is on this machine and this PostgreSQL, and what holds it back.

Start at `laboratory.py`: it runs the chosen scenarios in rounds. `place.py` is where they run, `bench.py`
what each scenario works with, `hints.py` what the facts about a server mean. Nothing here is imported by
`import forthwith`.
"""
