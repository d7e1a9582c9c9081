"""The laboratory: it runs the chosen scenarios in rounds, and says what was measured, and how."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from forthwith.bench.bench import Bench, Step
from forthwith.bench.errors import ChildDied, JobsStalled
from forthwith.bench.facts import gather_facts
from forthwith.bench.figure import Run
from forthwith.bench.hints import Hint, hints
from forthwith.bench.place import open_place
from forthwith.bench.resources import load_average
from forthwith.bench.scenarios import ALL

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from forthwith.bench.facts import Facts
    from forthwith.bench.scenarios.scenario import Scenario
    from forthwith.bench.settings import BenchSettings


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the laboratory is."""

    scenario: str
    round: int
    rounds: int
    step: Step


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What came of it."""

    settings: BenchSettings
    facts: Facts
    runs: tuple[Run, ...]
    skipped: Mapping[str, str]
    """Scenarios that could not be run there, and why."""
    hints: tuple[Hint, ...]
    leftovers: tuple[str, ...]
    """Schemas of the lab's in that database that are not this run's."""
    elapsed_s: float

    @property
    def problems(self) -> list[str]:
        """What was amiss with jobs, each with its scenario and round."""
        return [
            f"{run.scenario}, round {run.round}: {problem}"
            for run in self.runs
            for problem in run.problems
        ]

    def runs_of(self, scenario: str) -> list[Run]:
        """Return the rounds of a scenario."""
        return [run for run in self.runs if run.scenario == scenario]


async def measure(
    settings: BenchSettings, watch: Callable[[Progress], None] = lambda _progress: None
) -> Result:
    """Run every chosen scenario, in rounds that alternate. `watch` is told how it goes.

    When it ends, however it ends, the lab's processes are dead, and its server or its schema is gone.
    Raises `BenchRefused`, `DatabaseUnavailable`, `EmbeddedUnavailable`, `SchemaLeft`.
    """
    began_s = time.monotonic()
    async with open_place(settings.url, settings.home) as place:
        bench = Bench(place, settings.home, settings)
        facts = await gather_facts(place)
        skipped = unaffordable(settings, facts.connections_free)
        runs: list[Run] = []
        for number in range(1, settings.rounds + 1):
            for name in settings.scenarios:
                if name in skipped:
                    continue
                bench.watch = _watcher(watch, name, number, settings.rounds)
                runs.append(await _round(bench, ALL[name], number))
        return Result(
            settings=settings,
            facts=facts,
            runs=tuple(runs),
            skipped=skipped,
            hints=tuple(hints(facts, bench.activity)),
            leftovers=place.leftovers,
            elapsed_s=time.monotonic() - began_s,
        )


def unaffordable(settings: BenchSettings, connections_free: int) -> dict[str, str]:
    """Return the scenarios for which the server has too few connections, and what to say of them."""
    needs = {name: ALL[name].connections(settings) for name in settings.scenarios}
    return {
        name: f"it needs {need} connections, and the server has {connections_free} free"
        for name, need in needs.items()
        if need > connections_free
    }


async def _round(bench: Bench, scenario: Scenario, number: int) -> Run:
    bench.watch(Step("preparing", 0, 1))
    await bench.place.empty()
    before = load_average()
    try:
        found = await scenario.run(bench)
    except (ChildDied, JobsStalled, TimeoutError) as error:
        problem = str(error) or "a worker or producer did not get ready, or did not leave, in time"
        return Run(scenario=scenario.name, round=number, jobs=0, figures=(), problems=(problem,))
    return Run(
        scenario=scenario.name,
        round=number,
        jobs=found.jobs,
        figures=found.figures,
        problems=found.problems,
        setup=found.setup,
        load_average_before=before,
        load_average_after=load_average(),
    )


def _watcher(
    watch: Callable[[Progress], None], scenario: str, number: int, rounds: int
) -> Callable[[Step], None]:
    return lambda step: watch(Progress(scenario, number, rounds, step))
