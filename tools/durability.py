"""`make durability`: every fault scenario, the long ones too, then campaigns with many seeds.

Prints what was injected, what was found, and how quickly work went on. Leaves with 1 if anything
was violated, with the commands that show it again.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
from collections import Counter, defaultdict
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).parents[1]
SUITES = ("tests/durability", "tests/verify", "tests/store")


def main() -> int:
    """Run everything, and say what came of it."""
    options = _options()
    scenarios = 0 if options.skip_scenarios else _run_scenarios(options.processes)
    results = asyncio.run(_run_campaigns(options))
    _report(results)
    bad = [result for result in results if not result["ok"]]
    print(f"\nScenarios: {'passed' if scenarios == 0 else 'FAILED'}", end="")
    print(" (skipped)" if options.skip_scenarios else "")
    print(f"Campaigns: {len(results) - len(bad)} of {len(results)} hold")
    for result in bad:
        print(f"  seed {result['seed']}: {result.get('shortfall') or result.get('violations')}")
        print(f"    history: {result.get('home')}")
    return 1 if scenarios or bad else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make durability", description=__doc__)
    parser.add_argument("--seeds", type=int, default=20, help="how many campaigns (20)")
    parser.add_argument("--first-seed", type=int, default=1, help="their seeds count from here (1)")
    parser.add_argument("--minutes", type=float, default=1.0, help="the length of each (1)")
    parser.add_argument("--skip-scenarios", action="store_true", help="only the campaigns")
    parser.add_argument(
        "--processes",
        type=int,
        default=max(1, _cores() // 2),
        help="how much goes on at the same time (half the cores)",
    )
    return parser.parse_args()


def _cores() -> int:
    """Return how many cores this process may use."""
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 2


def _run_scenarios(processes: int) -> int:
    command = [sys.executable, "-m", "pytest", *SUITES, "-m", "soak or not soak", "-rs"]
    # Who has nothing left to do takes from others: some scenarios last for minutes.
    at_once = ["-n", str(2 * processes), "--dist", "worksteal"]
    return subprocess.run([*command, *at_once], cwd=ROOT, check=False).returncode  # noqa: S603


async def _run_campaigns(options: argparse.Namespace) -> list[dict[str, Any]]:
    places = asyncio.Semaphore(options.processes)

    async def run(seed: int) -> dict[str, Any]:
        async with places:
            result = await _run_campaign(seed, options.minutes)
        struck = sum(result.get("struck", {}).values())
        verdict = "holds" if result["ok"] else "DOES NOT HOLD"
        print(f"seed {seed}: {result.get('jobs', 0)} jobs, {struck} faults: {verdict}", flush=True)
        return result

    seeds = range(options.first_seed, options.first_seed + options.seeds)
    return list(await asyncio.gather(*(run(seed) for seed in seeds)))


async def _run_campaign(seed: int, minutes: float) -> dict[str, Any]:
    command = [
        "-m",
        "forthwith",
        "verify",
        "--json",
        "--seed",
        str(seed),
        "--minutes",
        f"{minutes}",
    ]
    process = await asyncio.create_subprocess_exec(
        sys.executable, *command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    output, errors = await process.communicate()
    try:
        result: dict[str, Any] = json.loads(output)
    except json.JSONDecodeError:
        return {"ok": False, "seed": seed, "shortfall": errors.decode()[-2000:]}
    return result


def _report(results: list[dict[str, Any]]) -> None:
    struck: Counter[str] = Counter()
    times: dict[str, list[tuple[float, float, int]]] = defaultdict(list)
    for result in results:
        struck.update(result.get("struck", {}))
        for recovery in result.get("recoveries", []):
            case = recovery["median_s"], recovery["max_s"], recovery["cases"]
            times[recovery["kind"]].append(case)
    jobs = sum(result.get("jobs", 0) for result in results)
    runs = sum(result.get("runs", 0) for result in results)
    print(f"\n{jobs} jobs, {runs} runs, {struck.total()} faults:")
    for kind, count in sorted(struck.items()):
        print(f"  {kind:<10} {count}")
    print("\nRecovery, in seconds: the median of the campaigns' medians, and the slowest of all")
    for kind, cases in sorted(times.items()):
        middle, worst = median(case[0] for case in cases), max(case[1] for case in cases)
        print(f"  {kind:<22} {middle:6.2f} {worst:6.2f}   ({sum(case[2] for case in cases)} cases)")


if __name__ == "__main__":
    sys.exit(main())
