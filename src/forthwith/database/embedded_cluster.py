"""One data directory of the embedded PostgreSQL: made, started, looked at, stopped.

Everything here that changes something is called under the home's `start.lock`.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote

import psycopg

from forthwith.database import embedded_binaries, embedded_guard, embedded_place
from forthwith.database.embedded_binaries import POSTGRES_MAJOR
from forthwith.database.embedded_place import USE_YOUR_OWN, Account
from forthwith.errors import EmbeddedUnavailable

ROLE = "forthwith"
DATABASE = "forthwith"
START_MAX_S = 300.0  # recovery after a crash may take long; a server that died is noticed at once
ORPHANS_MAX_S = 30.0
ORPHANS_NOTICE_S = 3.0
DYING_MAX_S = 1.0
LOG = "postgresql.log"
LOG_SIZE_MAX = 10 * 1024 * 1024
LOG_LINES_SHOWN = 15

SETTINGS = """\
# Written by forthwith at each start. To change a setting, add it to data/postgresql.conf below the
# line that includes this file, or use ALTER SYSTEM. Durability (fsync, full_page_writes,
# synchronous_commit) is PostgreSQL's default: on.
listen_addresses = ''
port = 5432
unix_socket_permissions = 0700
max_connections = 200
shared_buffers = 256MB
max_wal_size = 2GB
min_wal_size = 256MB
checkpoint_timeout = 10min
autovacuum_naptime = 10s
timezone = 'UTC'
log_timezone = 'UTC'
cluster_name = 'forthwith'
# Not the schema of the user's name, which is also that of our tables: what is created without a schema
# is the user's own.
search_path = 'public'
"""


@dataclass(frozen=True, slots=True)
class Address:
    """Where a running server listens, as its own `postmaster.pid` says."""

    socket: str
    port: str

    def url(self, database: str) -> str:
        """A libpq connection URL, as the superuser."""
        return (
            f"postgresql://{ROLE}@/{quote(database, safe='')}"
            f"?host={quote(self.socket, safe='')}&port={self.port}"
        )


@dataclass(frozen=True, slots=True)
class Cluster:
    """The data directory of one home, with the account that owns it.

    `base` holds `data` and the settings: the home itself, or root's place elsewhere.
    """

    home: Path
    base: Path
    account: Account

    @property
    def data(self) -> Path:
        """PostgreSQL's data directory."""
        return self.base / "data"

    @property
    def log(self) -> Path:
        """The server's log."""
        return self.home / LOG

    @property
    def socket(self) -> Path:
        """The directory for the server's socket."""
        return embedded_place.socket_path(self.base, self.data)

    def is_running(self) -> bool:
        """Whether a server, by whomever it was started, has this data directory."""
        # A starting server has the lock, but has not written its pid yet.
        return embedded_guard.postmaster_pid(self.data) is not None or embedded_guard.is_locked(
            self.home, embedded_guard.SERVER_LOCK
        )

    def ensure_running(self) -> Address:
        """Join the server, or make what is missing and start it. Returns once it answers."""
        if embedded_guard.postmaster_pid(self.data) is not None:
            try:
                return self._wait_until_ready([])
            except EmbeddedUnavailable:
                if not self._dies():
                    raise
        programs = embedded_binaries.find_programs(self.account)
        self._check_reach()
        self._make(programs)
        self._check_data()
        return self._start(programs)

    def _dies(self) -> bool:
        """Whether the server that we wanted to join was just dying."""
        deadline = time.monotonic() + DYING_MAX_S
        while embedded_guard.postmaster_pid(self.data) is not None:
            if time.monotonic() > deadline:
                return False
            time.sleep(embedded_guard.POLL_S)
        return True

    def stop(self, mode: str) -> None:
        """Stop the server, if forthwith started it."""
        if not embedded_guard.stop_server(self.home, self.data, mode):
            raise self._trouble("The embedded PostgreSQL could not be stopped.")

    # Making

    def _check_reach(self) -> None:
        if not self.account.can_enter(self.base):
            raise EmbeddedUnavailable(
                f"Root's PostgreSQL runs under the account {self.account.name}, which cannot enter "
                f"{self.base}. Let it through the directories above, or set "
                "FORTHWITH_POSTGRES_USER to an account that can, or FORTHWITH_HOME to a new place. "
                f"{USE_YOUR_OWN}"
            )

    def _make(self, programs: Path) -> None:
        """Run initdb in a directory beside, then rename: there is never half a data directory."""
        for leftover in self.base.glob("data.new-*"):
            shutil.rmtree(leftover, ignore_errors=True)
        if self.data.exists():
            return
        partial = Path(tempfile.mkdtemp(prefix="data.new-", dir=self.base))
        try:
            self.account.own(partial)
            self._initdb(programs, partial)
            with partial.joinpath("postgresql.conf").open("a") as file:
                file.write("\ninclude = '../server.conf'\n")
            _sync(partial / "postgresql.conf")
            partial.rename(self.data)
            _sync(self.base)
        finally:
            shutil.rmtree(partial, ignore_errors=True)

    def _initdb(self, programs: Path, target: Path) -> None:
        # It syncs all files itself when it is done, so what is renamed is on the disk.
        process = subprocess.Popen(  # noqa: S603
            [
                *(str(programs / "initdb"), "-D", str(target), "-U", ROLE, "--encoding=UTF8"),
                *("--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"),
                *("--auth-local=trust", "--auth-host=reject", "--no-instructions"),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # a Ctrl-C is for us; we then end it below
            **self._common_options(),
        )
        try:
            output, _ = process.communicate()
        except BaseException:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            raise
        if process.returncode != 0:
            said = output.decode(errors="replace").strip()
            raise EmbeddedUnavailable(
                f"initdb could not make a database in {self.base}:\n{said}\n{USE_YOUR_OWN}"
            )

    def _check_data(self) -> None:
        found = self.data.joinpath("PG_VERSION").read_text().strip()
        if found != str(POSTGRES_MAJOR):
            raise EmbeddedUnavailable(
                f"The data in {self.data} were made by PostgreSQL {found}, and this is PostgreSQL "
                f"{POSTGRES_MAJOR}. Take them over with pg_dump of PostgreSQL {found}, or set "
                f"FORTHWITH_HOME to a new directory. {USE_YOUR_OWN}"
            )
        owner = self.data.stat().st_uid
        if owner != self.account.uid:
            raise EmbeddedUnavailable(
                f"The data in {self.data} belong to user id {owner}, and the server would run as "
                f"{self.account.uid}. Run as the user who made them, or set FORTHWITH_HOME to a "
                f"new directory. {USE_YOUR_OWN}"
            )

    # Starting

    def _start(self, programs: Path) -> Address:
        self._end_orphans()
        lock = embedded_guard.attempt(self.home, embedded_guard.SERVER_LOCK, ORPHANS_MAX_S)
        with lock as descriptor:
            if descriptor is None:
                raise self._trouble(
                    "The embedded PostgreSQL has died, but some of its processes are still there."
                )
            stale = embedded_guard.read_pid_file(self.data)
            embedded_place.make_socket_directory(self.socket, self.account)
            self._clear_stale(stale)
            embedded_place.write_atomically(self.base / "server.conf", SETTINGS)
            command = [str(programs / "postgres"), "-D", str(self.data), "-k", str(self.socket)]
            with self._open_log() as log:
                launch(command, log=log, inherit=descriptor, **self._common_options())
        return self._wait_until_ready(stale)

    def _end_orphans(self) -> None:
        """Wait for the last processes of a dead server, and end those that do not notice that it died.

        A backend that computes does not look. Nobody else uses the shared memory that it has.
        """
        for number, wait_s in (
            (signal.SIGQUIT, ORPHANS_NOTICE_S),
            (signal.SIGKILL, ORPHANS_NOTICE_S),
        ):
            if not embedded_guard.is_locked(self.home, embedded_guard.SERVER_LOCK, wait_s):
                return
            for pid in embedded_guard.server_pids(self.data):
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, number)

    def _clear_stale(self, lines: list[str]) -> None:
        """Remove pid files that PostgreSQL would respect although their server is dead.

        It sees a process with that number, and cannot tell that it is a zombie (nobody reaps in
        many a container) or another program (numbers repeat in a restarted container). We hold
        `server.lock`, so we know.
        """
        pid = int(lines[0]) if lines else 0
        if pid and _exists(pid):
            self.data.joinpath("postmaster.pid").unlink(missing_ok=True)
            self.socket.joinpath(".s.PGSQL.5432.lock").unlink(missing_ok=True)

    def _open_log(self) -> IO[bytes]:
        if self.log.exists() and self.log.stat().st_size > LOG_SIZE_MAX:
            self.log.replace(self.log.with_suffix(".log.1"))
        return open_log(self.home)

    def _wait_until_ready(self, stale: list[str]) -> Address:
        """Wait until `postmaster.pid` says that the server accepts connections, then connect."""
        deadline = time.monotonic() + START_MAX_S
        while time.monotonic() < deadline:
            lines = embedded_guard.read_pid_file(self.data)
            if lines != stale and len(lines) >= 8 and lines[7].strip() == "ready":
                address = Address(socket=lines[4].strip(), port=lines[3].strip())
                self._ensure_database(address)
                return address
            if not self.is_running():
                raise self._trouble("The embedded PostgreSQL stopped while starting.")
            time.sleep(embedded_guard.POLL_S)
        raise self._trouble(f"The embedded PostgreSQL was not ready after {START_MAX_S:.0f} s.")

    def _ensure_database(self, address: Address) -> None:
        options: dict[str, Any] = {"autocommit": True, "connect_timeout": 10}
        try:
            with psycopg.connect(address.url("postgres"), **options) as connection:
                query = "select from pg_catalog.pg_database where datname = %s"
                if connection.execute(query, (DATABASE,)).fetchone() is None:
                    connection.execute(f"create database {DATABASE}")
        except psycopg.Error as error:
            raise self._trouble(
                f"The embedded PostgreSQL runs, but does not answer in {address.socket}: {error}"
            ) from error

    def _common_options(self) -> dict[str, Any]:
        return {
            "cwd": "/",
            "env": embedded_place.environment(),
            **self.account.process_options(),
        }

    def _trouble(self, what: str) -> EmbeddedUnavailable:
        """An error that shows the end of the server's log."""
        with contextlib.suppress(OSError):
            lines = self.log.read_text(errors="replace").splitlines()[-LOG_LINES_SHOWN:]
            what += f"\nThe end of {self.log}:\n" + "\n".join(f"  {line}" for line in lines)
        return EmbeddedUnavailable(
            f"{what}\nThe data are in {self.data}. Fix what the log names and try again. "
            f"{USE_YOUR_OWN}"
        )


def open_log(home: Path) -> IO[bytes]:
    """Open the log of `home` for appending."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
    return os.fdopen(os.open(home / LOG, flags, 0o600), "ab")


def launch(command: list[str], *, log: IO[bytes], inherit: int, **options: Any) -> None:
    """Start a process that is not our child, in a session that no signal meant for us reaches.

    It writes to `log`, and inherits the descriptor `inherit` with the lock on it.
    """
    # The shell leaves at once, so its child is init's: our process never has to reap it.
    subprocess.run(  # noqa: S603
        ["/bin/sh", "-c", '"$0" "$@" &', *command],
        check=True,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        pass_fds=(inherit,),
        start_new_session=True,
        **options,
    )


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
