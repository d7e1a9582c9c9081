"""Run the demo: `python -m app.demo`, `--help` for its options."""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from rich.console import Console

import forthwith
from app.demo import audit
from app.demo.children import Child, Children, DemoError, free_port, wait_until_up
from app.demo.display import Display, Snapshot
from app.demo.load import Load
from app.demo.options import Options, parse
from app.demo.scratch import home, install_schema, scratch_database

if TYPE_CHECKING:
    from app.demo.audit import Verdict

CONCURRENCY = 100
POLL_S = 0.1
DASHBOARD = (
    "Without --exit all of it stays up, with a dashboard to see and steer the jobs in a browser."
)
LOST, BROKEN, INTERRUPTED = 1, 2, 130

console = Console()


@dataclass(frozen=True, slots=True)
class Stage:
    """What is up and running."""

    options: Options
    database_url: str
    service_url: str
    receiver_url: str
    children: Children
    workers: list[Child]


async def run(options: Options) -> int:
    """Set everything up, show the promise, and return the exit code."""
    with scratch_database() as database_url:
        await install_schema(database_url)
        service_port, receiver_port = free_port(options.port), free_port(options.receiver_port)
        environment = _environment(database_url, service_port)
        with Children(home() / "logs", environment) as children:
            stage = Stage(
                options,
                database_url,
                f"http://127.0.0.1:{service_port}",
                f"http://127.0.0.1:{receiver_port}",
                children,
                workers=[],
            )
            await _start(stage, receiver_port)
            verdict = await _show_or_explain(stage)
            if options.exit:
                console.print(DASHBOARD, soft_wrap=True, highlight=False)
            else:
                await _stay_up(stage)
            everything_sent = verdict.accepted == options.events
            return 0 if everything_sent and verdict.is_good else LOST


def _environment(database_url: str, service_port: int) -> dict[str, str]:
    """Return the relay's settings. The waits are short, for who would watch the real ones?"""
    return {
        "FORTHWITH_DATABASE_URL": database_url,
        "RELAY_PORT": str(service_port),
        "RELAY_BACKOFF_BASE_S": "0.2",
        "RELAY_BACKOFF_MAX_S": "2",
        "RELAY_DELIVERY_ATTEMPTS_MAX": "12",
    }


async def _start(stage: Stage, receiver_port: int) -> None:
    options, children = stage.options, stage.children
    receiver = children.start_python(
        "receiver",
        "app.receiver",
        *("--port", str(receiver_port)),
        *("--failure-rate", str(options.failure_rate)),
    )
    service = children.start_python("service", "app.main")
    for number in range(1, options.workers + 1):
        stage.workers.append(_start_worker(children, number))
    await wait_until_up(receiver, f"{stage.receiver_url}/report")
    await wait_until_up(service, f"{stage.service_url}/health")
    console.print(
        f"A receiver that fails {options.failure_rate:.0%} of the time, the service, and "
        f"{options.workers} worker processes are up.",
        soft_wrap=True,
        highlight=False,
    )


def _start_worker(children: Children, number: int) -> Child:
    return children.start(
        f"worker-{number}",
        str(Path(sys.executable).with_name("forthwith")),
        *("--app", "app.procrastinate_app:app"),
        *("worker", "--name", f"worker-{number}", "--concurrency", str(CONCURRENCY)),
    )


async def _show_or_explain(stage: Stage) -> Verdict:
    """Show the promise; if a part does not answer because it has died, show its log."""
    try:
        return await _show(stage)
    except httpx.HTTPError as error:
        stage.children.check()
        raise DemoError(f"{type(error).__name__}: {error}") from error


async def _show(stage: Stage) -> Verdict:
    """Send the events, kill a worker half-way, wait for the rest, and print what became of them."""
    load = Load(stage.service_url, stage.receiver_url, stage.options.endpoints)
    started = time.monotonic()
    async with httpx.AsyncClient(timeout=10, trust_env=False) as client:
        with Display(console, stage.options.events) as display:
            sending = asyncio.create_task(load.send(stage.options.events))
            try:
                await _watch(stage, load, sending, display, client)
            finally:
                sending.cancel()
                await asyncio.gather(sending, return_exceptions=True)
        seconds = time.monotonic() - started
        # The database before the receiver: what is done there has arrived here. Not the other way
        # round while the workers are still at it.
        jobs = audit.deliveries(stage.database_url)
        keys = (await client.get(f"{stage.receiver_url}/keys")).json()
        report = (await client.get(f"{stage.receiver_url}/report")).json()
    verdict = audit.judge(load.accepted, jobs, keys, report["overlaps"])
    console.print(audit.table(verdict, seconds))
    return verdict


async def _watch(
    stage: Stage,
    load: Load,
    sending: asyncio.Task[None],
    display: Display,
    client: httpx.AsyncClient,
) -> None:
    """Show how it goes until no job is left, or until the deadline."""
    deadline = time.monotonic() + stage.options.deadline_s
    killed = False
    while time.monotonic() < deadline:
        stage.children.check()
        everything_sent = sending.done() and sending.result() is None
        snapshot = await _snapshot(stage, load, client)
        display.show(snapshot)
        if not killed and snapshot.delivered >= stage.options.events / 2:
            _kill_a_worker(stage, display)
            killed = True
        if everything_sent and snapshot.waiting == snapshot.running == 0:
            return
        await asyncio.sleep(POLL_S)
    display.tell(f"Giving up after {stage.options.deadline_s:g} s.")


async def _snapshot(stage: Stage, load: Load, client: httpx.AsyncClient) -> Snapshot:
    report = (await client.get(f"{stage.receiver_url}/report")).json()
    response = await client.get(f"{stage.service_url}/stats")
    if not response.is_success:
        raise DemoError(f"the service answered {response.status_code}: {response.text}")
    jobs = response.json()["jobs"]
    return Snapshot(
        accepted=len(load.accepted),
        delivered=report["accepted"],
        refused=report["refused"],
        waiting=jobs.get("todo", 0),
        running=jobs.get("doing", 0),
    )


def _kill_a_worker(stage: Stage, display: Display) -> None:
    """SIGKILL a worker and start another, as a supervisor would."""
    victim = stage.workers.pop(0)
    stage.children.kill(victim)
    display.tell(f"Killed {victim.name} (process {victim.process.pid}) with SIGKILL.")
    if stage.options.lose_one:
        _lose_one(stage.database_url)
        display.tell("Deleted an accepted event from the database, as asked.")
    successor = _start_worker(stage.children, stage.options.workers + 1)
    stage.workers.append(successor)
    display.tell(f"Started {successor.name} (process {successor.process.pid}) in its place.")


def _lose_one(database_url: str) -> None:
    """Delete one waiting delivery. Not one that holds its endpoint's lock: others wait for it."""
    with psycopg.connect(database_url) as connection:
        deleted = connection.execute(
            "delete from forthwith.job where id = (select max(id) from forthwith.job"
            " where task = %s and state in ('blocked', 'scheduled'))",
            [audit.TASK],
        )
        if deleted.rowcount != 1:
            raise DemoError("no event is waiting any more, so none can be lost")


async def _stay_up(stage: Stage) -> None:
    console.print(
        f"""
Everything stays up until Ctrl-C:
  the dashboard    {stage.service_url}/dashboard/
  try the service  {stage.service_url}/docs
  jobs by status   {stage.service_url}/stats
  health           {stage.service_url}/health
  the receiver     {stage.receiver_url}/report
  ask the queue    .venv/bin/forthwith --database '{_without_password(stage.database_url)}' status
  the logs         {stage.children.logs}
""",
        highlight=False,
        soft_wrap=True,
        markup=False,
    )
    with suppress(asyncio.CancelledError):
        while True:
            stage.children.check()
            await asyncio.sleep(1)
    console.print("Stopping everything.")


def _without_password(database_url: str) -> str:
    parts = conninfo_to_dict(database_url)
    return make_conninfo(
        "", **{name: str(value) for name, value in parts.items() if name != "password"}
    )


async def _interruptible(options: Options) -> int:
    """Run until done or until a signal. A second signal does not disturb the clearing up."""
    running = asyncio.ensure_future(run(options))
    interrupted = asyncio.Event()

    def interrupt() -> None:
        if not interrupted.is_set():
            interrupted.set()
            running.cancel()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, interrupt)
    with suppress(asyncio.CancelledError):
        return await running
    return INTERRUPTED


def main() -> int:
    """Run the demo as the command line says; see `Options`."""
    try:
        return asyncio.run(_interruptible(parse()))
    except (DemoError, forthwith.errors.ForthwithError) as error:
        console.print(f"The demo failed: {error}", markup=False, highlight=False, soft_wrap=True)
        return BROKEN


if __name__ == "__main__":
    sys.exit(main())
