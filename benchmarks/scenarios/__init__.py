"""What is measured: a scenario a module. Each run has a fresh database, and checks it."""

from __future__ import annotations

from benchmarks.scenarios import burn_down, memory, pickup

# In the order in which they run and are shown.
SCENARIOS = {
    "burn_down": burn_down.SCENARIO,
    "pickup": pickup.SCENARIO,
    "memory": memory.SCENARIO,
}
