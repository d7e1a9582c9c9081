"""The durability lab: a workload, faults, a recorded history, and checkers that read it.

Start at `lab.py`: it puts a queue under observation. `history.py` is what is known in the end, and
`checkers.py` says what must hold of it. `docs/internals/verify.md` explains the whole.
"""
