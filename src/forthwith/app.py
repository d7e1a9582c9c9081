"""The app: tasks, a database, and the calls that bring the two together."""

from __future__ import annotations

import contextlib
import importlib.util
from typing import TYPE_CHECKING, Any

import procrastinate
from procrastinate import manager, schema

from forthwith import upstream
from forthwith.blueprint import Blueprint
from forthwith.connector import Connector
from forthwith.database.database import Database
from forthwith.engine.departure import departure_of_process
from forthwith.engine.garbage import heap_set_aside
from forthwith.errors import ForthwithError, InvalidArgument, TaskNotFound
from forthwith.job_manager import ARGUMENTS_BYTES_MAX, JobManager
from forthwith.options import check_count, check_flag, check_name, check_positive
from forthwith.results import Results
from forthwith.schema_manager import SchemaManager
from forthwith.steering import Steering
from forthwith.store.statements import DEFAULT_SCHEMA, check_schema_name
from forthwith.task import configure_task
from forthwith.worker import Worker

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable

    from procrastinate.connector import BaseConnector
    from procrastinate.jobs import JobDeferrer
    from procrastinate.utils import AwaitableContext
    from typing_extensions import Unpack

    from forthwith.worker import WorkerOptions


class App(Steering, Results, Blueprint, procrastinate.App):
    """Procrastinate's App on forthwith's engine.

    ```python
    app = forthwith.App()  # the embedded PostgreSQL, or FORTHWITH_DATABASE_URL
    app = forthwith.App("postgresql://user@host/name")
    ```

    It opens by itself when first used; `open`, `open_async`, `close` and the context managers work as
    in Procrastinate.
    """

    connector: Connector
    job_manager: JobManager

    def __init__(
        self,
        database: str | None = None,
        *,
        connector: BaseConnector | None = None,
        schema: str = DEFAULT_SCHEMA,
        import_paths: Iterable[str] | None = None,
        worker_defaults: WorkerOptions | None = None,
        periodic_defaults: dict[str, Any] | None = None,
        arguments_bytes_max: int = ARGUMENTS_BYTES_MAX,
        history_retention_s: float | None = None,
        tracing: bool = False,
    ) -> None:
        """Make an app; nothing connects yet.

        `database` is a `postgresql://` URL or libpq connection string; without it the environment's
        FORTHWITH_DATABASE_URL counts, and without that the embedded PostgreSQL is used, which needs
        the extra `forthwith[embedded]`. `schema` holds the tables. `arguments_bytes_max` limits a
        job's arguments as JSON, in bytes. `history_retention_s` is how long finished jobs are kept,
        in seconds and to the day; None keeps them. `tracing` makes OpenTelemetry spans of defers and runs,
        and needs the extra `forthwith[tracing]`. The rest is Procrastinate's.

        `connector` is for code that was written for Procrastinate: of a PsycopgConnector the
        connection parameters are taken; with an InMemoryConnector all is as in Procrastinate.

        Raises `InvalidArgument`.
        """
        if database is not None and connector is not None:
            raise InvalidArgument("connector", "goes without `database`: pass one of the two")
        check_schema_name(schema)
        check_count("arguments_bytes_max", arguments_bytes_max)
        if history_retention_s is not None:
            check_positive("history_retention_s", history_retention_s)
        self.history_retention_s = history_retention_s
        self._arguments_bytes_max = arguments_bytes_max
        self._schema = schema
        self._tracing = _checked_tracing(tracing)
        procrastinate.App.__init__(
            self,
            connector=(
                Connector(Database(database), schema=schema)
                if connector is None
                else self._adopted(connector)
            ),
            import_paths=import_paths,
            worker_defaults=worker_defaults,
            periodic_defaults=periodic_defaults,
        )
        self.periodic_registry = upstream.discreet_registry()
        self.job_manager = self._manager_for(self.connector)

    @property
    def tracing(self) -> bool:
        """Whether defers and runs are OpenTelemetry spans, see `forthwith.tracing`."""
        return self._tracing

    @tracing.setter
    def tracing(self, tracing: bool) -> None:
        self._tracing = _checked_tracing(tracing)
        self.job_manager = self._manager_for(self.connector)

    @property
    def schema_manager(self) -> SchemaManager:
        """Applies the schema, and tells whether it fits."""
        if isinstance(self.connector, Connector):
            return SchemaManager(connector=self.connector)
        return schema.SchemaManager(connector=self.connector)

    def migrate(self) -> list[str]:
        """Bring the database's schema up to date; return the names of the migrations applied now.

        As often as one likes, and from several processes at once. Raises `SchemaTooNew`,
        `MigrationChanged`, `DatabaseUnavailable`.
        """
        return self.schema_manager.migrate()

    async def migrate_async(self) -> list[str]:
        """As `migrate`, asynchronously."""
        return await self.schema_manager.migrate_async()

    def open_async(self, pool: Any | None = None) -> AwaitableContext[App]:  # type: ignore[override]  # invariant
        """Open the app in this event loop: `async with app.open_async():`, or `await` it.

        `pool` is a psycopg_pool.AsyncConnectionPool to use instead of one of our own. Raises
        `DatabaseUnavailable` and, where the schema is applied here (embedded), `SchemaError`.
        """
        opened: AwaitableContext[Any] = super().open_async(pool)
        return opened

    @contextlib.contextmanager
    def replace_connector(self, connector: BaseConnector) -> Generator[App]:
        """Use another connector in the block, for tests.

        With Procrastinate's InMemoryConnector the app works as a Procrastinate app, worker included.
        Of a PsycopgConnector the connection parameters are taken. Raises `InvalidArgument`.
        """
        before = self.connector, self.job_manager
        replacement = self._adopted(connector)
        self.connector = replacement  # type: ignore[assignment]  # perhaps a stock one
        self.job_manager = self._manager_for(replacement)
        try:
            yield self
        finally:
            self.connector, self.job_manager = before
            if isinstance(replacement, Connector) and replacement is not connector:
                replacement.close()

    def with_connector(self, connector: BaseConnector) -> App:
        """Return another app with the same tasks (deprecated in Procrastinate; see `replace_connector`)."""
        app = App(
            connector=connector,
            schema=self._schema,
            import_paths=self.import_paths,
            worker_defaults=self.worker_defaults,  # type: ignore[arg-type]  # as they were given
            periodic_defaults=self.periodic_defaults,
            arguments_bytes_max=self._arguments_bytes_max,
            history_retention_s=self.history_retention_s,
            tracing=self.tracing,
        )
        app.tasks = self.tasks
        app.periodic_registry = self.periodic_registry
        return app

    def configure_task(
        self, name: str, *, allow_unknown: bool = True, **options: Any
    ) -> JobDeferrer:
        """Configure a job of the task of that name, which need not be known here.

        The options are those of `Task.configure`. Raises `TaskNotFound` for an unknown task if
        `allow_unknown` is False, and `InvalidArgument`.
        """
        upstream.import_tasks(self)
        task = self.tasks.get(check_name("name", name))
        if task is not None:
            return task.configure(**options)
        if not allow_unknown:
            raise TaskNotFound(
                f"No task is called {name!r}: import its module, or see import_paths"
            )
        return configure_task(name=name, job_manager=self.job_manager, **options)

    async def run_worker_async(self, **options: Unpack[WorkerOptions]) -> int | None:  # type: ignore[override]
        """Run a worker until it is stopped or, with `wait=False`, has caught up.

        Options, all with Procrastinate's meaning (times in seconds; defaults from `worker_defaults`):
        `queues` (all), `name`, `concurrency` (1), `wait` (True), `fetch_job_polling_interval` (5),
        `abort_job_polling_interval` (5), `shutdown_graceful_timeout` (None: as long as it takes),
        `listen_notify` (True), `delete_jobs` ("never"), `additional_context`,
        `install_signal_handlers` (True), `update_heartbeat_interval` (1: how often the lease is
        renewed), `stalled_worker_timeout` (30: how long a lease lasts), `task_middleware`,
        `worker_middleware`. And ours: `metrics_port` (None) to serve metrics and health checks over HTTP,
        at `metrics_host` (127.0.0.1).

        Returns how many jobs did not stop at the end (see `Worker.run`); None from Procrastinate's own
        worker. Raises `InvalidArgument`, `SchemaError`, `DatabaseUnavailable`.
        """
        upstream.import_tasks(self)
        stuck: int | None = await self._worker(**options).run()
        return stuck

    def run_worker(self, **options: Any) -> None:
        """Open the app and run a worker, with `run_worker_async`'s options, in an event loop of its own.

        Once SIGTERM or SIGINT has come, all of that is over five seconds after the grace period at the
        latest: what is left in the loop then, such as a task that cannot be cancelled, ends with the
        process. With `install_signal_handlers=False` signals are the caller's affair. Until it is over, what
        was there before is left out of garbage collections (`gc.freeze`).
        """
        with departure_of_process() as departure:
            try:
                upstream.import_tasks(self)  # so that their modules are among what is set aside
                with heap_set_aside():
                    super().run_worker(**options)
            except SystemExit as error:
                raise ForthwithError(
                    f"SystemExit({error.code!r}) was raised in the worker's event loop, by an asyncio task "
                    "that somebody started: the worker has left. To stop a worker, use signals"
                ) from error
            finally:
                departure.call_off()

    def _worker(self, **options: Unpack[WorkerOptions]) -> Any:
        merged: dict[str, Any] = {**self.worker_defaults, **options}
        if isinstance(self.connector, Connector):
            return Worker(self, **merged)
        return upstream.stock_worker(self, merged)

    def _register_builtin_tasks(self) -> None:
        """Called by Procrastinate's constructor, which has its own way: see there."""
        upstream.register_builtin_tasks(self)

    def _check_stack(self) -> None:
        """Called by Procrastinate's constructor, as well."""
        upstream.warn_if_main(type(self).__name__)

    def _adopted(self, connector: BaseConnector) -> BaseConnector:
        """Return our connector in place of Procrastinate's psycopg ones, and others as they are."""
        if upstream.is_contributed(connector):
            raise InvalidArgument(
                "connector",
                f"{type(connector).__name__} is not supported: forthwith connects by psycopg 3. Pass "
                'the database\'s URL instead, as in App("postgresql://...")',
            )
        adopted = upstream.adopted_from(connector)
        if adopted is None:
            return connector
        return Connector(
            Database(adopted.conninfo),
            schema=self._schema,
            json_dumps=adopted.json_dumps,
            json_loads=adopted.json_loads,
        )

    def _manager_for(self, connector: BaseConnector) -> JobManager:
        if isinstance(connector, Connector):
            kind = _job_manager_class(self.tracing)
            return kind(connector, arguments_bytes_max=self._arguments_bytes_max)
        return manager.JobManager(connector=connector)  # type: ignore[return-value]


def _checked_tracing(tracing: bool) -> bool:
    if check_flag("tracing", tracing) and importlib.util.find_spec("opentelemetry") is None:
        raise InvalidArgument("tracing", "needs OpenTelemetry: pip install 'forthwith[tracing]'")
    return tracing


def _job_manager_class(tracing: bool) -> type[JobManager]:
    if not tracing:
        return JobManager
    from forthwith.tracing import TracedJobManager  # imports OpenTelemetry

    return TracedJobManager
