"""Hostile values: refused at the call by name, or carried to the right end; and nobody else suffers."""

from __future__ import annotations

import asyncio
import datetime
import json
from typing import TYPE_CHECKING, Any, NoReturn

import procrastinate
import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import forthwith
from forthwith.arguments import serialize
from forthwith.errors import ArgumentsNotSerializable, ArgumentsTooLarge, InvalidArgument
from forthwith.outcome import failure_of
from tests.durability import hostile
from tests.support.workers import count, run_until_idle, running_worker, status

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.support.worker_process import WorkerProcess

    WaitUntil = Callable[..., Awaitable[Any]]
    Connection = psycopg.AsyncConnection[Any]

RUDE = "tests.durability.rude_app"
NEIGHBOURS = 50
quick = settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
thorough = settings(quick, max_examples=1_000)


def raise_from(make: Callable[[], BaseException]) -> NoReturn:
    """Raise what it makes."""
    raise make()


class TestArguments:
    async def test_what_cannot_be_stored_is_refused_by_name_and_nothing_is_deferred(
        self, app: forthwith.App
    ) -> None:
        deferrer = app.configure_task("work")
        for name, make in hostile.REFUSED.items():
            for wrap in (lambda value: {"to": value}, lambda value: {"a": [{"to": value}]}):
                with pytest.raises(ArgumentsNotSerializable) as refused:
                    await deferrer.defer_async(**wrap(make()))
                assert str(refused.value).startswith(f"{refused.value.argument}: ")
                if name.startswith(
                    "two-faced"
                ):  # a batch is read twice, and the second face is a good one
                    continue
                with pytest.raises(ArgumentsNotSerializable):
                    await deferrer.batch_defer_async({}, wrap(make()))
        assert await count(app, "todo") == 0

    @pytest.mark.parametrize("name", [*hostile.REFUSED])
    def test_refusal_names_the_argument_unless_the_value_lies(self, name: str) -> None:
        with pytest.raises(ArgumentsNotSerializable) as refused:
            serialize({"good": 1, "bad": hostile.REFUSED[name]()}, bytes_max=1000)
        if name not in ("pretender", "lying dict", "two-faced dict", "two-faced and deep"):
            assert refused.value.argument.startswith("bad")

    async def test_what_is_too_large_is_refused(self, app: forthwith.App) -> None:
        deferrer = app.configure_task("work")
        many = {f"argument {number}": number for number in range(100_000)}
        for arguments in ({"text": "x" * 10_000_000}, {"numbers": [0] * 1_000_000}, many):
            with pytest.raises(ArgumentsTooLarge):
                await deferrer.defer_async(**arguments)
        assert await count(app, "todo") == 0

    @quick
    @given(st.lists(hostile.arguments, min_size=1, max_size=5))
    def test_what_is_accepted_comes_back_as_it_went(
        self, database_url: str, batch: list[dict[str, Any]]
    ) -> None:
        comes_back_as_it_went(database_url, batch)

    @pytest.mark.soak
    @thorough
    @given(st.lists(hostile.arguments, min_size=1, max_size=5))
    def test_whatever_is_accepted_comes_back_as_it_went(
        self, database_url: str, batch: list[dict[str, Any]]
    ) -> None:
        comes_back_as_it_went(database_url, batch)

    async def test_large_floats_reach_the_task_as_they_are(self, app: forthwith.App) -> None:
        """PostgreSQL turns 1e23 into an integer of 24 digits, which is not the same number."""
        seen: list[Any] = []

        @app.task
        async def work(numbers: list[float], text: str) -> None:
            seen.extend([numbers, text])

        numbers = [1e16, 1e23, -1.5e300, 1.7976931348623157e308, 5e-324]
        await work.defer_async(numbers=numbers, text='1e+16 "1e+23" \\')
        await run_until_idle(app)
        assert seen == [numbers, '1e+16 "1e+23" \\']
        assert {type(number) for number in seen[0]} == {float}

    async def test_thousands_of_keyword_arguments_arrive(self, app: forthwith.App) -> None:
        seen: list[int] = []

        @app.task
        async def work(**arguments: int) -> None:
            seen.append(sum(arguments.values()))

        await work.defer_async(**{f"argument {number}": number for number in range(20_000)})
        await run_until_idle(app)
        assert seen == [sum(range(20_000))]

    async def test_wrong_signature_fails_the_job_and_no_other(self, app: forthwith.App) -> None:
        @app.task(name="work")
        async def work(to: str) -> None: ...

        @app.task(name="in thread")
        def in_thread(to: str, /) -> None: ...

        deferrers = [app.configure_task(name) for name in ("work", "in thread")]
        wrong = [
            await deferrer.defer_async(**arguments)
            for deferrer in deferrers
            for arguments in ({}, {"from": "x"}, {"to": "x", "self": "y"}, {"": 1}, {"a b": 1})
        ]
        right = await work.defer_async(to="x")
        await run_until_idle(app)
        assert {await status(app, job_id) for job_id in wrong} == {"failed"}
        assert await status(app, right) == "succeeded"


def comes_back_as_it_went(url: str, batch: list[dict[str, Any]]) -> None:
    with psycopg.connect(url) as connection:
        for arguments in batch:
            text = serialize(arguments, bytes_max=10_000_000)
            [(stored,)] = connection.execute("select %s::jsonb::text", [text]).fetchall()
            again = json.loads(stored)
            assert again == arguments
            assert kinds(again) == kinds(arguments)


def kinds(value: Any) -> Any:
    """Return the types in a value, in its shape."""
    if isinstance(value, dict):
        return {key: kinds(member) for key, member in value.items()}
    if isinstance(value, list):
        return [kinds(member) for member in value]
    return type(value)


class TestNames:
    @settings(quick, max_examples=25)
    @given(
        st.lists(st.tuples(*[hostile.names] * 4), min_size=1, max_size=8, unique_by=lambda n: n[3])
    )
    def test_odd_names_travel_as_they_are(
        self, database_url: str, jobs: list[tuple[str, str, str, str]]
    ) -> None:
        travel_as_they_are(database_url, jobs)

    @pytest.mark.soak
    @settings(thorough, max_examples=150)
    @given(
        st.lists(st.tuples(*[hostile.names] * 4), min_size=1, max_size=8, unique_by=lambda n: n[3])
    )
    def test_any_names_travel_as_they_are(
        self, database_url: str, jobs: list[tuple[str, str, str, str]]
    ) -> None:
        travel_as_they_are(database_url, jobs)

    async def test_names_that_cannot_be_stored_are_refused(self, app: forthwith.App) -> None:
        lying = hostile.LyingText("\0" * 9)
        for value in ("", "\0", "a\0b", "\ud800", "x" * 600, 7, b"bytes", [], lying):
            for option in ("queue", "lock", "queueing_lock"):
                with pytest.raises(InvalidArgument) as refused:
                    app.configure_task("work", **{option: value})
                assert refused.value.argument == option
            with pytest.raises(InvalidArgument, match=r"^name: "):
                app.configure_task(value)
            with pytest.raises(InvalidArgument, match=r"^queues: "):
                await app.run_worker_async(queues=[value], wait=False)


def travel_as_they_are(url: str, jobs: list[tuple[str, str, str, str]]) -> None:
    """Defer a job for each (task, queue, lock, queueing lock); a worker runs what it knows."""
    ran: list[tuple[str, str, str | None, str | None]] = []

    def note(context: forthwith.JobContext) -> None:
        job = context.job
        ran.append((job.task_name, job.queue, job.lock, job.queueing_lock))

    async def defer_and_run() -> None:
        app = forthwith.App(url)
        for name in {job[0] for job in jobs}:
            app.task(name=name, pass_context=True)(note)
        async with app.open_async():
            for task, queue, lock, queueing_lock in jobs:
                await app.configure_task(
                    task, queue=queue, lock=lock, queueing_lock=queueing_lock
                ).defer_async()
            await run_until_idle(app, queues=list({job[1] for job in jobs}))
            assert await count(app, "todo", "doing") == 0

    asyncio.run(defer_and_run())
    assert sorted(ran) == sorted(jobs)


class TestSchedules:
    class Broken(datetime.tzinfo):
        """Raises when asked."""

        def utcoffset(self, _: datetime.datetime | None) -> datetime.timedelta:
            raise KeyError("no offset")

        dst = utcoffset  # type: ignore[assignment]

    class Odd(datetime.datetime):
        """Prints as what PostgreSQL would not read."""

        def __str__(self) -> str:
            return "'; drop table"

    async def test_odd_times_are_stored_or_refused_by_name(
        self, app: forthwith.App, connection: Connection
    ) -> None:
        tiny = datetime.timezone(datetime.timedelta(microseconds=5))
        odd = self.Odd(2126, 1, 2, 3, 4, 5, 6, tzinfo=tiny)
        for moment in (odd, datetime.datetime.max.replace(tzinfo=datetime.UTC)):
            job_id = await app.configure_task("work", schedule_at=moment).defer_async()
            query = "select scheduled_at = %s from forthwith.job where id = %s"
            utc = datetime.datetime.combine(moment.date(), moment.timetz()).astimezone(datetime.UTC)
            assert await (await connection.execute(query, [utc, job_id])).fetchone() == (True,)
        for wrong in (
            datetime.datetime(2126, 1, 1),  # noqa: DTZ001
            datetime.datetime(2126, 1, 1, tzinfo=self.Broken()),
            datetime.datetime.max.replace(tzinfo=datetime.timezone(-datetime.timedelta(hours=1))),
        ):
            with pytest.raises(InvalidArgument, match=r"^schedule_at: "):
                app.configure_task("work", schedule_at=wrong)


class TestExceptions:
    @pytest.mark.parametrize("kind", ["async", "sync"])
    async def test_whatever_a_task_raises_ends_its_job_and_no_other(
        self, app: forthwith.App, kind: str
    ) -> None:
        """One runner, so that a single one that is lost would be missed."""
        make = {**hostile.EXCEPTIONS, **hostile.ABORTS}
        if kind == "async":

            @app.task(name="work")
            async def work(raises: str | None = None) -> None:
                if raises is not None:
                    raise_from(make[raises])

        else:

            @app.task(name="work")
            def work_in_thread(raises: str | None = None) -> None:
                if raises is not None:
                    raise_from(make[raises])

        deferrer = app.configure_task("work")
        ids: dict[str, int] = {}
        neighbours: list[int] = []
        for name in make:
            ids[name] = await deferrer.defer_async(raises=name)
            neighbours += await deferrer.batch_defer_async({}, {})
        async with asyncio.timeout(60):
            await run_until_idle(app, concurrency=1)
        ends = {name: await status(app, job_id) for name, job_id in ids.items()}
        assert ends == {
            **dict.fromkeys(hostile.EXCEPTIONS, "failed"),
            **dict.fromkeys(hostile.ABORTS, "aborted"),
        }
        assert {await status(app, job_id) for job_id in neighbours} == {"succeeded"}
        for name, job_id in ids.items():
            [attempt] = await app.job_manager.list_attempts_async(job_id)
            assert attempt.exception_type, name
            assert attempt.traceback, name

    @pytest.mark.parametrize("name", [*hostile.EXCEPTIONS, *hostile.ABORTS])
    def test_description_of_an_exception_is_bounded_and_storable(self, name: str) -> None:
        make = {**hostile.EXCEPTIONS, **hostile.ABORTS}[name]
        error: BaseException
        try:
            raise make()
        except BaseException as raised:
            error = raised
        failure = failure_of(error, "failed")
        for text, characters_max in zip(failure[1:], (500, 10_000, 100_000), strict=True):
            assert type(text) is str
            assert len(text) <= 4 * characters_max + 100  # each may have to be escaped, as \x00
            assert "\0" not in text
            text.encode()

    def test_of_a_long_chain_the_newest_links_are_told(self) -> None:
        told = failure_of(hostile.long_chain(5_000), "failed").traceback
        assert "Exception: the last" in told
        assert "Exception: link 0" in told
        assert "Exception: link 4000" not in told

    def test_of_what_python_cannot_describe_the_place_is_told(self) -> None:
        try:
            raise hostile.Numbered("from module 7")
        except Exception as error:
            told = failure_of(error, "failed").traceback
        assert "in test_of_what_python_cannot_describe" in told
        assert "Numbered: from module 7" in told

    async def test_deferred_cancels_of_a_job_cost_no_runner(
        self, app: forthwith.App, wait_until: WaitUntil
    ) -> None:
        """A home-made timeout that nobody calls off strikes when the job is long over."""

        @app.task(name="careless")
        async def careless() -> None:
            runner = asyncio.current_task()
            assert runner is not None
            asyncio.get_running_loop().call_later(0.05, runner.cancel)

        @app.task(name="work")
        async def work() -> None: ...

        struck = asyncio.Event()
        async with running_worker(app, concurrency=1):
            await careless.defer_async()
            await wait_until(lambda: is_ended(app, 1))
            asyncio.get_running_loop().call_later(0.1, struck.set)
            await struck.wait()
            later = await work.defer_async()
            await wait_until(lambda: is_ended(app, later))
        assert await status(app, later) == "succeeded"


class TestResults:
    @pytest.mark.parametrize("kind", ["async", "sync"])
    async def test_whatever_a_task_returns_it_has_succeeded(
        self, app: forthwith.App, kind: str
    ) -> None:
        if kind == "async":

            @app.task(name="work")
            async def work(returns: str) -> Any:
                return hostile.RESULTS[returns]()

        else:

            @app.task(name="work")
            def work_in_thread(returns: str) -> Any:
                return hostile.RESULTS[returns]()

        deferrer = app.configure_task("work")
        ids = {name: await deferrer.defer_async(returns=name) for name in hostile.RESULTS}
        await run_until_idle(app, concurrency=1)
        ends = {name: await status(app, job_id) for name, job_id in ids.items()}
        assert ends == dict.fromkeys(hostile.RESULTS, "succeeded")

    async def test_generators_are_no_tasks(self, app: forthwith.App) -> None:
        async def agenerator() -> Any:
            yield 1

        for function in (hostile.generator, agenerator):
            with pytest.raises(InvalidArgument, match=r"^task: is a generator"):
                app.task(function)


class TestBatches:
    async def test_batch_with_an_outcome_that_the_database_refuses_keeps_the_others(
        self, app: forthwith.App, connection: Connection, wait_until: WaitUntil
    ) -> None:
        """A trigger of somebody's refuses one job's end; the others are in the same statement."""
        await connection.execute(
            "create function refuse() returns trigger language plpgsql as $$"
            " begin raise 'not this one'; end $$;"
            "create trigger refuse before insert on forthwith.finished_job for each row"
            " when (new.queue = 'refused' and new.status = 'succeeded')"
            " execute function refuse()"
        )
        gate = asyncio.Event()

        @app.task(name="work")
        async def work() -> None:
            await gate.wait()

        good = await work.batch_defer_async(*[{}] * NEIGHBOURS)
        refused = await work.configure(queue="refused").defer_async()
        async with running_worker(app, concurrency=NEIGHBOURS + 1):
            await wait_until(lambda: is_doing(app, NEIGHBOURS + 1))
            gate.set()
            await wait_until(lambda: is_ended(app, refused))
            await wait_until(lambda: is_ended(app, *good))
        assert {await status(app, job_id) for job_id in good} == {"succeeded"}
        assert await status(app, refused) == "failed"
        [attempt] = await app.job_manager.list_attempts_async(refused)
        assert "not this one" in (attempt.message or "")

    @settings(quick, max_examples=8)
    @given(
        st.lists(
            st.sampled_from([*hostile.EXCEPTIONS, *hostile.ABORTS, *hostile.RESULTS]), max_size=12
        ),
        st.sampled_from([1, 3, 20]),
    )
    def test_any_mixture_of_hostile_ends_is_recorded(
        self, database_url: str, ends: list[str], concurrency: int
    ) -> None:
        all_are_recorded(database_url, ends, concurrency)

    @pytest.mark.soak
    @settings(thorough, max_examples=60)
    @given(
        st.lists(
            st.sampled_from([*hostile.EXCEPTIONS, *hostile.ABORTS, *hostile.RESULTS]), max_size=30
        ),
        st.sampled_from([1, 3, 20]),
    )
    def test_every_mixture_of_hostile_ends_is_recorded(
        self, database_url: str, ends: list[str], concurrency: int
    ) -> None:
        all_are_recorded(database_url, ends, concurrency)


def all_are_recorded(url: str, ends: list[str], concurrency: int) -> None:
    """Run good jobs and these, async and in threads, in one worker."""
    raises = {**hostile.EXCEPTIONS, **hostile.ABORTS}
    expected = {
        "failed": sum(end in hostile.EXCEPTIONS for end in ends) * 2,
        "aborted": sum(end in hostile.ABORTS for end in ends) * 2,
    }

    async def defer_and_run() -> dict[str, int]:
        app = forthwith.App(url)

        @app.task(name="async")
        async def work(end: str = "returned tuple") -> Any:
            if end in raises:
                raise_from(raises[end])
            return hostile.RESULTS[end]()

        @app.task(name="sync")
        def work_in_thread(end: str = "returned tuple") -> Any:
            if end in raises:
                raise_from(raises[end])
            return hostile.RESULTS[end]()

        async with app.open_async():
            before = await app.job_manager.count_jobs_async()
            for task in (work, work_in_thread):
                await task.batch_defer_async(*[{"end": end} for end in ends], *[{}] * NEIGHBOURS)
            async with asyncio.timeout(60):
                await run_until_idle(app, concurrency=concurrency)
            after = await app.job_manager.count_jobs_async()
        return {name: after[name] - before[name] for name in ("failed", "aborted", "succeeded")}

    ended = asyncio.run(defer_and_run())
    good = 2 * (NEIGHBOURS + sum(end in hostile.RESULTS for end in ends))
    assert ended == {**expected, "succeeded": good}


class Nonsense(forthwith.BaseRetryStrategy):
    """Decides what it is told to."""

    def __init__(self, decide: Callable[[], Any]) -> None:
        self.decide = decide

    def get_retry_decision(self, **_: Any) -> Any:
        """Return whatever it is."""
        return self.decide()


def decision(**options: Any) -> Callable[[], Any]:
    """Return a strategy's decision."""
    return lambda: forthwith.RetryDecision(**options)


def raising(error: BaseException) -> Callable[[], Any]:
    """Return a strategy's failure."""

    def decide() -> Any:
        raise error

    return decide


NONSENSE: dict[str, tuple[Callable[[], Any], str | None]] = {
    "naive": (decision(retry_at=datetime.datetime(2126, 1, 1)), "retry_at"),  # noqa: DTZ001
    "text": (decision(retry_at="tomorrow"), "retry_at"),
    "number": (decision(retry_at=7), "retry_at"),
    "beyond the calendar": (
        decision(
            retry_at=datetime.datetime.max.replace(
                tzinfo=datetime.timezone(-datetime.timedelta(hours=1))
            )
        ),
        "retry_at",
    ),
    "huge priority": (decision(priority=2**31), "priority"),
    "low priority": (decision(priority=-(2**31) - 1), "priority"),
    "float priority": (decision(priority=1.5), "priority"),
    "queue with NUL": (decision(queue="\0"), "queue"),
    "empty queue": (decision(queue=""), "queue"),
    "lock of bytes": (decision(lock=b"lock"), "lock"),
    "long lock": (decision(lock="x" * 600), "lock"),
    "text for a decision": (lambda: "retry!", None),
    "number for a decision": (lambda: 7, None),
    "raises": (raising(ValueError("undecided")), None),
    "exits": (raising(SystemExit(3)), None),
    "interrupts": (raising(KeyboardInterrupt()), None),
    "closes": (raising(GeneratorExit()), None),
    "cancels": (raising(asyncio.CancelledError()), None),
    "unspeakable": (raising(hostile.Unspeakable()), None),
    "unreadable": (raising(hostile.Unreadable()), None),
}


class TestRetryStrategies:
    async def test_nonsense_fails_the_job_says_why_and_disturbs_no_other(
        self, app: forthwith.App, caplog: pytest.LogCaptureFixture
    ) -> None:
        ids: dict[str, int] = {}
        for name, (decide, _) in NONSENSE.items():

            async def fail() -> None:
                raise RuntimeError("the task's own")

            task = app.task(name=name, retry=Nonsense(decide))(fail)
            ids[name] = await task.defer_async()

        @app.task
        async def work() -> None: ...

        good = await work.batch_defer_async(*[{}] * NEIGHBOURS)
        async with asyncio.timeout(60):
            await run_until_idle(app, concurrency=1)
        assert {await status(app, job_id) for job_id in good} == {"succeeded"}
        for name, job_id in ids.items():
            assert await status(app, job_id) == "failed", name
            [attempt] = await app.job_manager.list_attempts_async(job_id)
            _, argument = NONSENSE[name]
            if argument is not None:
                assert (attempt.exception_type, (attempt.message or "").split(":")[0]) == (
                    "InvalidArgument",
                    argument,
                )
        assert "could not be recorded" not in caplog.text  # found before the database was asked

    async def test_extreme_decisions_that_make_sense_are_kept(self, app: forthwith.App) -> None:
        far = datetime.datetime.max.replace(tzinfo=datetime.UTC)
        past = datetime.datetime.min.replace(tzinfo=datetime.UTC)
        again = iter([decision(retry_at=past, priority=-(2**31))(), decision(retry_at=far)(), None])

        @app.task(retry=Nonsense(lambda: next(again)))
        async def fail() -> None:
            raise RuntimeError

        job_id = await fail.defer_async()
        await run_until_idle(app)
        job = await app.job_manager.get_job_async(job_id)
        assert job is not None
        assert (job.status, job.attempts, job.priority) == ("todo", 2, -(2**31))
        assert job.scheduled_at == far


class TestMiddlewares:
    @pytest.mark.parametrize("where", ["task", "worker"])
    async def test_middlewares_that_misbehave_fail_their_jobs_alone(
        self, app: forthwith.App, where: str
    ) -> None:
        def misbehave(how: str) -> Any:
            if how in hostile.EXCEPTIONS:
                raise_from(hostile.EXCEPTIONS[how])
            return hostile.RESULTS[how]()

        async def middleware(call: Any, context: Any, worker: Any) -> Any:
            how = context.job.task_kwargs.get("how")
            return misbehave(how) if how is not None else await call()

        ran: list[int] = []

        @app.task(name="work", task_middleware=[middleware] if where == "task" else None)
        async def work(how: str | None = None) -> None:
            ran.append(1)

        quick_ones = [name for name in hostile.EXCEPTIONS if name != "20 MB"]
        bad = {how: await work.defer_async(how=how) for how in quick_ones}
        odd = {how: await work.defer_async(how=how) for how in hostile.RESULTS}
        good = await work.batch_defer_async(*[{}] * NEIGHBOURS)
        async with asyncio.timeout(60):
            await run_until_idle(
                app, concurrency=1, worker_middleware=[middleware] if where == "worker" else None
            )
        ends = {how: await status(app, job_id) for how, job_id in bad.items()}
        assert ends == dict.fromkeys(bad, "failed")
        assert {await status(app, job_id) for job_id in odd.values()} == {"succeeded"}
        assert {await status(app, job_id) for job_id in good} == {"succeeded"}
        assert len(ran) == NEIGHBOURS

    async def test_middlewares_that_are_no_coroutines_fail_their_jobs_alone(
        self, app: forthwith.App
    ) -> None:
        class Wrapper:
            async def __call__(self, call: Any, *_: Any) -> Any:
                await call()
                await call()  # a second time
                return await call

        @app.task(name="wrapped", task_middleware=[Wrapper()])
        async def wrapped() -> None: ...

        @app.task(name="work")
        async def work() -> None: ...

        bad = await wrapped.defer_async()
        good = await work.batch_defer_async(*[{}] * NEIGHBOURS)
        await run_until_idle(app, concurrency=1)
        assert await status(app, bad) == "failed"
        assert {await status(app, job_id) for job_id in good} == {"succeeded"}


ENCODERS: list[Callable[[Any], Any]] = [
    lambda _: None,
    lambda _: 7,
    lambda _: "[1]",
    lambda _: '"text"',
    lambda _: "{",
    lambda _: '{"a": NaN}',
    lambda _: '{"a": 1e-200000}',
    lambda _: '{"a": 1e200000}',
    lambda _: '{"a": "\\u0000"}',
    lambda _: '{"a": "\\ud800"}',
    lambda _: b"\xff\xfe",
    lambda _: hostile.LyingText('{"a": "\\u0000"}'),
    lambda _: "[" * 100_000,
    lambda _: '{"a":' * 1_000 + "1" + "}" * 1_000,
    lambda _: {}["missing"],
    lambda _: raising(hostile.Unspeakable())(),
]


class TestJson:
    async def test_encoders_that_misbehave_are_refused_at_the_call(self, database_url: str) -> None:
        for dumps in ENCODERS:
            connector = procrastinate.PsycopgConnector(conninfo=database_url, json_dumps=dumps)
            app = forthwith.App(connector=connector)
            async with app.open_async():
                with pytest.raises(ArgumentsNotSerializable, match=r"task_kwargs|a"):
                    await app.configure_task("work").defer_async(a=1)
                assert await count(app, "todo") == 0

    @pytest.mark.parametrize(
        "loads",
        [
            lambda _: None,
            lambda _: [1, 2],
            lambda _: {1: 2},
            lambda _: {"a": hostile.Unprintable()},
            lambda _: raising(hostile.Unspeakable())(),
            lambda _: raising(SystemExit(3))(),
            lambda _: raising(GeneratorExit())(),
        ],
    )
    async def test_decoder_that_misbehaves_fails_the_job_alone(
        self, database_url: str, loads: Any
    ) -> None:
        def load(text: str | bytes) -> Any:
            return loads(text) if "hostile" in str(text) else json.loads(text)

        app = forthwith.App(
            connector=procrastinate.PsycopgConnector(conninfo=database_url, json_loads=load)
        )

        @app.task(retry=1)
        async def work(key: str) -> None: ...

        async with app.open_async():
            bad = await work.defer_async(key="hostile")
            good = await work.batch_defer_async(*[{"key": "good"}] * NEIGHBOURS)
            async with asyncio.timeout(60):
                await run_until_idle(app, concurrency=1)
            assert {await status(app, job_id) for job_id in good} == {"succeeded"}
            counts = await app.job_manager.count_jobs_async()
            assert counts["failed"] == 1, bad


class TestTheLoop:
    async def test_background_tasks_that_fail_harm_nobody(self, app: forthwith.App) -> None:
        background: set[asyncio.Task[None]] = set()

        async def fail() -> None:
            await asyncio.sleep(0)
            raise hostile.Unspeakable

        @app.task
        async def work() -> None:
            background.add(asyncio.create_task(fail()))

        @app.task
        async def group() -> None:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(fail())
                tasks.create_task(asyncio.Event().wait())

        good = await work.batch_defer_async(*[{}] * 5)
        bad = await group.batch_defer_async(*[{}] * 5)
        await run_until_idle(app, concurrency=1)
        await asyncio.gather(*background, return_exceptions=True)
        assert {await status(app, job_id) for job_id in good} == {"succeeded"}
        assert {await status(app, job_id) for job_id in bad} == {"failed"}

    async def test_executor_that_a_task_closes_is_not_ours(self, app: forthwith.App) -> None:
        @app.task
        async def close() -> None:
            loop = asyncio.get_running_loop()
            await loop.run_in_executor(None, int)
            await loop.shutdown_default_executor()

        @app.task
        def in_thread() -> None: ...

        first = await close.defer_async()
        later = await in_thread.batch_defer_async(*[{}] * 10)
        await run_until_idle(app, concurrency=2)
        assert await status(app, first) == "succeeded"
        assert {await status(app, job_id) for job_id in later} == {"succeeded"}

    async def test_worker_whose_loop_a_task_ends_leaves_with_an_error_and_loses_nothing(
        self,
        app: forthwith.App,
        make_worker_process: Callable[..., WorkerProcess],
        wait_until: WaitUntil,
    ) -> None:
        """No worker can work on then. Each of these has a queue of its own."""
        rude = ("stop the loop", "cancel all tasks", "exit in the background")
        neighbours = [
            await app.configure_task("work", queue=task).defer_async(run_s=3600.0) for task in rude
        ]
        workers = [make_worker_process(RUDE, queues=[task], concurrency=5) for task in rude]
        await wait_until(lambda: is_doing(app, len(rude)))
        ids = [await app.configure_task(task, queue=task).defer_async() for task in rude]
        for worker in workers:
            await wait_until(lambda worker=worker: worker.exit_status is not None, 30)
            assert worker.exit_status == 1, worker.output()
        for job_id in (*ids, *neighbours):
            assert await status(app, job_id) == "todo"
        for job_id in ids:
            await app.job_manager.cancel_job_by_id_async(job_id)

        @app.task(name="work")
        async def work(run_s: float) -> None: ...

        await run_until_idle(app, concurrency=5)
        assert {await status(app, job_id) for job_id in neighbours} == {"succeeded"}

    async def test_loop_that_a_task_tries_to_close_goes_on(
        self,
        app: forthwith.App,
        make_worker_process: Callable[..., WorkerProcess],
        wait_until: WaitUntil,
    ) -> None:
        worker = make_worker_process(RUDE)
        rude = await app.configure_task("close the loop").defer_async()
        later = await app.configure_task("work").defer_async()
        await wait_until(lambda: is_ended(app, rude, later), 30)
        assert (await status(app, rude), await status(app, later)) == ("failed", "succeeded")
        assert worker.exit_status is None


async def is_ended(app: forthwith.App, *ids: int) -> bool:
    """Whether these jobs are over."""
    return all([await status(app, job_id) not in ("todo", "doing") for job_id in ids])


async def is_doing(app: forthwith.App, number: int) -> bool:
    """Whether that many jobs run."""
    return await count(app, "doing") == number
