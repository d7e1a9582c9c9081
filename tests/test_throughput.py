"""The founding throughput suite: what the engine does with many jobs, and what that costs.

The classes and names are those of the project's founding document; test_founding_names.py keeps
them. Every job runs through PostgreSQL. Asserted are counts, orders, states, and ratios between
things measured in the same run; rates and times depend on the machine, so they are only reported:
`pytest tests/test_throughput.py -s` prints them, `make results` writes them down.
"""

from __future__ import annotations

import asyncio
import itertools
import math
import statistics
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import procrastinate

from app.procrastinate_app import ExponentialBackoffStrategy
from tests.support.effects import in_process
from tests.support.waiting import wait_until
from tests.support.workers import (
    Flights,
    count,
    finished_ids,
    run_until_idle,
    running_worker,
    status,
    transactions_of,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    import psycopg

    import forthwith
    from tests.support.databases import Databases
    from tests.support.worker_process import WorkerProcess

    RecordFigure = Callable[[str, float, str], None]
    Connection = psycopg.AsyncConnection[Any]

WORKER_APP = "tests.support.worker_app"
RETRY = ExponentialBackoffStrategy(max_attempts=3, base_delay=0.02)


class TestBasicThroughput:
    """One job, jobs one after the other, deferring one after the other."""

    async def test_single_task_execution_time(
        self, app: forthwith.App, record_figure: RecordFigure
    ) -> None:
        """A job's recorded time covers its run, and one job takes one run."""
        flights = Flights()

        @app.task(retry=RETRY)
        async def work() -> None:
            with flights.of("job"):
                await asyncio.sleep(0.1)

        job_id = await work.defer_async()
        await run_until_idle(app)

        job = await app.job_manager.get_job_async(job_id)
        assert job is not None
        assert (job.status, job.attempts) == ("succeeded", 1)
        assert job.started_at is not None
        assert job.finished_at is not None
        recorded_s = (job.finished_at - job.started_at).total_seconds()
        assert len(flights.spans) == 1
        assert recorded_s >= flights.busy_s
        record_figure("time around the function", (recorded_s - flights.busy_s) * 1e3, "ms")

    async def test_sequential_task_throughput(
        self, app: forthwith.App, record_figure: RecordFigure
    ) -> None:
        flights = Flights()

        @app.task
        async def work(number: int) -> None:
            with flights.of(number):
                await asyncio.sleep(0)

        await work.batch_defer_async(*({"number": number} for number in range(500)))
        elapsed_s = await _timed(run_until_idle(app, concurrency=1))

        assert flights.started == list(range(500))
        assert flights.in_flight_max == 1
        assert await count(app, "succeeded") == 500
        record_figure("one after the other", 500 / elapsed_s, "jobs/s")

    async def test_task_deferral_rate(
        self, app: forthwith.App, connection: Connection, record_figure: RecordFigure
    ) -> None:
        """Each awaited defer is a commit of its own, and each job keeps its place and arguments."""

        @app.task
        async def work(number: int) -> None: ...

        started = time.perf_counter()
        job_ids = [await work.defer_async(number=number) for number in range(300)]
        elapsed_s = time.perf_counter() - started

        assert job_ids == sorted(set(job_ids))
        assert await transactions_of(connection, "job", job_ids) == 300
        jobs = sorted(await app.job_manager.list_jobs_async(), key=lambda job: job.id or 0)
        assert [job.task_kwargs["number"] for job in jobs] == list(range(300))
        assert await count(app, "todo") == 300
        record_figure("defer, one after the other", 300 / elapsed_s, "jobs/s")


class TestConcurrentThroughput:
    """Things that wait, wait together."""

    async def test_concurrent_task_processing(
        self, app: forthwith.App, record_figure: RecordFigure
    ) -> None:
        flights = Flights()

        @app.task
        async def wait_for_network(number: int) -> None:
            with flights.of(number):
                await asyncio.sleep(0.1)

        await wait_for_network.batch_defer_async(*({"number": number} for number in range(80)))
        await run_until_idle(app, concurrency=20)

        assert flights.in_flight_max == 20
        overlap = flights.busy_s / flights.elapsed_s
        assert overlap > 20 / 4
        assert await count(app, "succeeded") == 80
        record_figure("runs at once, on average (of 20)", overlap, "")

    async def test_parallel_deferral_performance(
        self, app: forthwith.App, connection: Connection, record_figure: RecordFigure
    ) -> None:
        """Defers that are awaited together share commits, and still each gets its own job."""

        @app.task
        async def work(number: int) -> None: ...

        async def one_by_one() -> list[int]:
            return [await work.defer_async(number=number) for number in range(400)]

        async def together() -> list[int]:
            return await asyncio.gather(*(work.defer_async(number=n) for n in range(400)))

        started = time.perf_counter()
        separate_ids = await one_by_one()
        middle = time.perf_counter()
        shared_ids = await together()
        ended = time.perf_counter()

        assert len({*separate_ids, *shared_ids}) == 800
        for number, job_id in enumerate(shared_ids[:10]):
            job = await app.job_manager.get_job_async(job_id)
            assert job is not None
            assert job.task_kwargs == {"number": number}
        separate = await transactions_of(connection, "job", separate_ids)
        shared = await transactions_of(connection, "job", shared_ids)
        assert separate == 400
        assert shared * 4 < separate
        record_figure("commits for 400 defers together", shared, "")
        record_figure("together against one by one", (middle - started) / (ended - middle), "times")


class TestBatchProcessing:
    """A batch is one statement on its way in, and few on its way out."""

    async def test_small_batch_throughput(
        self, app: forthwith.App, connection: Connection, record_figure: RecordFigure
    ) -> None:
        ran = []

        @app.task
        async def work(number: int) -> None:
            ran.append(number)

        started = time.perf_counter()
        for start in range(0, 200, 10):
            numbers = range(start, start + 10)
            job_ids = await work.batch_defer_async(*({"number": number} for number in numbers))
            assert len(job_ids) == 10
            assert await transactions_of(connection, "job", job_ids) == 1
        await run_until_idle(app)
        elapsed_s = time.perf_counter() - started

        assert ran == list(range(200))
        assert await count(app, "succeeded") == 200
        record_figure("20 batches of 10, deferred and run", 200 / elapsed_s, "jobs/s")

    async def test_large_batch_throughput(
        self, app: forthwith.App, connection: Connection, record_figure: RecordFigure
    ) -> None:
        ran: list[int] = []

        @app.task
        async def work(number: int) -> None:
            ran.append(number)

        started = time.perf_counter()
        job_ids = await work.batch_defer_async(*({"number": number} for number in range(5_000)))
        deferred = time.perf_counter()
        await run_until_idle(app, concurrency=100)
        ended = time.perf_counter()

        assert sorted(ran) == list(range(5_000))
        assert await finished_ids(connection, "succeeded") == sorted(job_ids)
        completions = await transactions_of(connection, "finished_job", job_ids)
        assert completions * 10 < 5_000
        record_figure("defer in a batch of 5,000", 5_000 / (deferred - started), "jobs/s")
        record_figure("run 5,000", 5_000 / (ended - deferred), "jobs/s")
        record_figure("jobs per completing commit", 5_000 / completions, "")


class TestLoadPerformance:
    """Load that keeps coming, comes at once, or is mixed."""

    async def test_sustained_load_performance(
        self, app: forthwith.App, connection: Connection, record_figure: RecordFigure
    ) -> None:
        """A worker keeps up with producers that go on and on: nothing is lost, nothing is left."""
        ran: list[int] = []

        @app.task
        async def work(number: int) -> None:
            ran.append(number)

        async def produce(first: int) -> list[int]:
            return [await work.defer_async(number=number) for number in range(first, 2_000, 4)]

        async def all_ran() -> bool:
            return await count(app, "todo", "doing") == 0

        started = time.perf_counter()
        async with running_worker(app, concurrency=50):
            produced = await asyncio.gather(*(produce(first) for first in range(4)))
            ran_meanwhile = len(ran)
            await wait_until(all_ran)
        elapsed_s = time.perf_counter() - started

        assert sorted(ran) == list(range(2_000))
        assert await finished_ids(connection, "succeeded") == sorted(itertools.chain(*produced))
        assert ran_meanwhile > 2_000 / 2, "most of the work is done while more comes in"
        record_figure("four producers and a worker", 2_000 / elapsed_s, "jobs/s")
        record_figure("done when the producers stop", 100 * ran_meanwhile / 2_000, "%")

    async def test_burst_load_performance(
        self, app: forthwith.App, record_figure: RecordFigure
    ) -> None:
        """An idle worker takes a burst in its stride, and is ready for the next one."""
        flights = Flights()

        @app.task
        async def work(number: int) -> None:
            with flights.of(number):
                await asyncio.sleep(0)

        async with running_worker(app, concurrency=50, fetch_job_polling_interval=60.0):
            for burst in (1, 2, 3):
                started = time.perf_counter()
                await work.batch_defer_async(*({"number": number} for number in range(1_000)))
                await wait_until(lambda burst=burst: len(flights.spans) == burst * 1_000)
                elapsed_s = time.perf_counter() - started
                record_figure(f"burst {burst}, deferred and run", 1_000 / elapsed_s, "jobs/s")

        assert flights.in_flight_max <= 50
        assert sorted(flights.started) == sorted(list(range(1_000)) * 3)
        assert await count(app, "succeeded") == 3_000

    async def test_mixed_priority_load(
        self, app: forthwith.App, record_figure: RecordFigure
    ) -> None:
        """All of a higher priority go before any of a lower one, in order within each."""
        ran: list[tuple[int, int]] = []

        @app.task
        async def work(priority: int, number: int) -> None:
            ran.append((priority, number))

        for number, priority in itertools.product(range(100), (0, 10, -10)):
            await work.configure(priority=priority).defer_async(priority=priority, number=number)
        elapsed_s = await _timed(run_until_idle(app, concurrency=1))

        assert ran == [(p, number) for p in (10, 0, -10) for number in range(100)]
        record_figure("mixed priorities", 300 / elapsed_s, "jobs/s")


class TestTaskExecutionLatency:
    """From the defer to the start."""

    async def test_task_latency_distribution(
        self, app: forthwith.App, record_figure: RecordFigure
    ) -> None:
        """An idle worker is woken: how long it takes has nothing to do with the poll's interval."""
        polling_interval_s = 30.0

        @app.task
        async def work() -> None: ...

        latencies_s = []
        async with running_worker(app, fetch_job_polling_interval=polling_interval_s):
            for _ in range(200):
                job_id = await work.defer_async()

                async def is_over(job_id: int = job_id) -> bool:
                    return await status(app, job_id) == "succeeded"

                await wait_until(is_over)
                job = await app.job_manager.get_job_async(job_id)
                assert job is not None
                assert job.started_at is not None
                latencies_s.append((job.started_at - job.deferred_at).total_seconds())

        assert min(latencies_s) >= 0
        assert max(latencies_s) < polling_interval_s / 3
        percentiles = statistics.quantiles(latencies_s, n=100)
        for percent in (50, 95, 99):
            milliseconds = percentiles[percent - 1] * 1e3
            record_figure(f"defer to start, percentile {percent}", milliseconds, "ms")

    async def test_queue_wait_time(self, app: forthwith.App, record_figure: RecordFigure) -> None:
        """A job waits for those before it, no less, and hardly longer."""
        duration_s = 0.02

        @app.task
        async def work() -> None:
            await asyncio.sleep(duration_s)

        job_ids = await work.batch_defer_async(*({} for _ in range(40)))
        await run_until_idle(app, concurrency=1)

        jobs = [await app.job_manager.get_job_async(job_id) for job_id in job_ids]
        finished = [job.finished_at for job in jobs if job is not None and job.finished_at]
        assert len(finished) == 40
        assert finished == sorted(finished)
        spread_s = (finished[-1] - finished[0]).total_seconds()
        assert spread_s > 39 * duration_s / 2
        record_figure("wait per job in front (of 20 ms)", spread_s / 39 * 1e3, "ms")


class TestWorkerEfficiency:
    """A worker is busy with jobs when there are some, and with nothing when there are none."""

    async def test_worker_utilization(
        self, app: forthwith.App, record_figure: RecordFigure
    ) -> None:
        """With enough to do, a runner seldom waits for its next job."""
        flights = Flights()

        @app.task
        async def work(number: int) -> None:
            with flights.of(number):
                await asyncio.sleep(0.05)

        await work.batch_defer_async(*({"number": number} for number in range(200)))
        await run_until_idle(app, concurrency=10)

        assert flights.in_flight_max == 10
        utilization = flights.busy_s / (10 * flights.elapsed_s)
        assert utilization > 0.5
        record_figure("runners' time spent in jobs", 100 * utilization, "%")

    async def test_idle_worker_overhead(
        self,
        app: forthwith.App,
        databases: Databases,
        database_url: str,
        make_worker_process: Callable[..., WorkerProcess],
        record_figure: RecordFigure,
    ) -> None:
        """Counts an idle worker's transactions: how many more if it idles for three seconds more.

        The least of several counts: the server's own upkeep may come in between, too.
        """
        await app.close_async()

        async def total(idle_s: float) -> int:
            before = databases.transactions(database_url)
            worker = make_worker_process(WORKER_APP)
            await wait_until(lambda: " starts (" in worker.output())
            await asyncio.sleep(idle_s)  # not waiting for a fact: this is what is measured
            assert await worker.stop() == 0
            return databases.transactions(database_url) - before

        # The first moments have transactions of their own; so has the first pruning, after five seconds.
        short = min([await total(1.0) for _ in range(2)])
        per_second = math.inf
        for _ in range(5):
            per_second = min(per_second, (await total(4.0) - short) / 3.0)
            if per_second < 5.0:
                break
        assert per_second < 5.0
        record_figure("an idle worker's transactions", per_second, "1/s")
        record_figure("to start, idle for a second and stop", short, "transactions")


class TestScalability:
    """More runners and more processes do more; more waiting jobs take no more memory."""

    async def test_throughput_scaling(
        self, app: forthwith.App, connection: Connection, record_figure: RecordFigure
    ) -> None:
        flights = Flights()

        @app.task
        async def wait_for_network() -> None:
            with flights.of("job"):
                await asyncio.sleep(0.1)  # long beside what a busy machine adds

        elapsed_s = {}
        for concurrency in (1, 4, 16):
            await wait_for_network.batch_defer_async(*({} for _ in range(48)))
            flights = Flights()
            await run_until_idle(app, concurrency=concurrency)
            assert flights.in_flight_max == concurrency
            elapsed_s[concurrency] = flights.elapsed_s
            speedup = elapsed_s[1] / elapsed_s[concurrency]
            record_figure(f"speed-up with {concurrency} runners", speedup, "times")
        assert elapsed_s[1] > 2 * elapsed_s[4] > 3 * elapsed_s[16]

        # Two workers share a queue, each job running in one of them.
        job_ids = await wait_for_network.batch_defer_async(*({} for _ in range(80)))
        await asyncio.gather(*(run_until_idle(app, concurrency=4) for _ in range(2)))
        rows = await connection.execute(
            "select worker_id, count(*) from forthwith.finished_job "
            "where id = any(%s) group by worker_id",
            [job_ids],
        )
        shares = dict(await rows.fetchall())
        assert len(shares) == 2
        assert sum(shares.values()) == 80
        record_figure("smaller share of two workers", 100 * min(shares.values()) / 80, "%")

    async def test_memory_efficiency(
        self,
        app: forthwith.App,
        make_worker_process: Callable[..., WorkerProcess],
        record_figure: RecordFigure,
    ) -> None:
        """A worker process stays under 100 MB with 50,000 jobs of a kilobyte waiting."""
        nothing = in_process(app, "nothing")
        for _ in range(10):
            await nothing.batch_defer_async(*({"payload": "x" * 1_000} for _ in range(5_000)))
        worker = make_worker_process(WORKER_APP, concurrency=20)

        async def has_worked_through_some() -> bool:
            return await count(app, "succeeded") >= 20_000

        await wait_until(has_worked_through_some)
        peak_mb = _peak_memory_mb(worker.pid)
        assert await worker.stop() == 0
        assert peak_mb < 100
        record_figure("a worker process's peak memory", peak_mb, "MB")


class TestPerformanceRegression:
    """Comparisons that any machine can make."""

    async def test_baseline_performance(
        self, app: forthwith.App, empty_database_url: str, record_figure: RecordFigure
    ) -> None:
        """The baseline is stock Procrastinate, on the same server, minutes apart from nothing."""
        connector = procrastinate.PsycopgConnector(conninfo=empty_database_url)
        stock = procrastinate.App(connector=connector)

        async def no_op(number: int) -> None: ...

        ours, theirs = app.task(no_op), stock.task(no_op)
        async with stock.open_async():
            await stock.schema_manager.apply_schema_async()
            await theirs.batch_defer_async(*({"number": number} for number in range(200)))
            theirs_s = await _timed(
                stock.run_worker_async(wait=False, concurrency=20, install_signal_handlers=False)
            )
        await ours.batch_defer_async(*({"number": number} for number in range(5_000)))
        ours_s = await _timed(run_until_idle(app, concurrency=20))

        assert await count(app, "succeeded") == 5_000
        ours_per_s, theirs_per_s = 5_000 / ours_s, 200 / theirs_s
        assert ours_per_s > 5 * theirs_per_s
        record_figure("stock Procrastinate", theirs_per_s, "jobs/s")
        record_figure("forthwith", ours_per_s, "jobs/s")
        record_figure("ratio", ours_per_s / theirs_per_s, "times")

    async def test_consistent_performance(
        self, app: forthwith.App, connection: Connection, record_figure: RecordFigure
    ) -> None:
        """History that grows slows nothing down: later rounds take what earlier ones took."""

        @app.task
        async def work() -> None: ...

        rounds_s, commits = [], []
        for _ in range(9):
            job_ids = await work.batch_defer_async(*({} for _ in range(1_000)))
            rounds_s.append(await _timed(run_until_idle(app, concurrency=50)))
            commits.append(await transactions_of(connection, "finished_job", job_ids))

        assert await count(app, "succeeded") == 9_000
        early, late = statistics.median(rounds_s[:3]), statistics.median(rounds_s[-3:])
        assert late < 5 * early
        assert max(commits) * 10 < 1_000
        record_figure("last three rounds against the first three", late / early, "times")
        record_figure("median round of 1,000", 1_000 / statistics.median(rounds_s), "jobs/s")


async def _timed(work: Awaitable[None]) -> float:
    """Await the work; return how many seconds it took."""
    started = time.perf_counter()
    await work
    return time.perf_counter() - started


def _peak_memory_mb(pid: int) -> float:
    """Return the most memory (resident set) that a process has had so far, from /proc."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    [peak] = [line for line in lines if line.startswith("VmHWM:")]
    return int(peak.split()[1]) * 1024 / 1e6
