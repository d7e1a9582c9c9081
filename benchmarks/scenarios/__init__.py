"""What is measured: a scenario a module. Each run has a fresh database, and checks it."""

from __future__ import annotations

from benchmarks.scenarios import (
    burn_down,
    defers,
    disk,
    faults,
    full_tables,
    idle,
    memory,
    old_snapshot,
    pickup,
    processes,
    retries,
    steady,
    tasks,
)

# In the order in which they run and are shown.
SCENARIOS = {
    "burn_down": burn_down.SCENARIO,
    "steady": steady.SCENARIO,
    "pickup": pickup.SCENARIO,
    "defers": defers.SCENARIO,
    "tasks": tasks.SCENARIO,
    "processes": processes.SCENARIO,
    "retries": retries.SCENARIO,
    "full_tables": full_tables.SCENARIO,
    "old_snapshot": old_snapshot.SCENARIO,
    "memory": memory.SCENARIO,
    "disk": disk.SCENARIO,
    "faults": faults.SCENARIO,
    "idle": idle.SCENARIO,
}
