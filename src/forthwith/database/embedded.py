"""The embedded PostgreSQL: a real server, started by its first user and stopped after its last.

Several processes share one server per home directory. Each holds a lock that the kernel releases
when the process dies, so nothing has to be cleaned up after a kill. See docs/internals/embedded.md.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from forthwith.database import embedded_guard, embedded_place
from forthwith.database.embedded_cluster import DATABASE, LOG, Address, Cluster, launch, open_log
from forthwith.database.embedded_place import USE_YOUR_OWN
from forthwith.errors import EmbeddedUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["EmbeddedServer", "default_home", "open_embedded"]

LINGER_S = 2.0
LOCK_MAX_S = 300.0


@dataclass(frozen=True, slots=True)
class EmbeddedServer:
    """A running server that this process holds a share of, from open_embedded().

    `home` is the directory that users share, `data` PostgreSQL's data directory, and `url` a
    connection URL for the database `forthwith` as superuser over the server's unix socket. The
    share ends with close(), or with the process, however that ends.
    """

    home: Path
    data: Path
    url: str
    _address: Address = field(repr=False, compare=False)
    _cluster: Cluster = field(repr=False, compare=False)
    # The one descriptor of this share; empty once it is given up.
    _share: list[int] = field(repr=False, compare=False)

    def close(self) -> None:
        """Give up this share; again is fine. The server stops a while after its last user."""
        while self._share:
            os.close(self._share.pop())

    def database_url(self, name: str) -> str:
        """A connection URL like `url`, for the database `name` of the same server."""
        return self._address.url(name)

    def pid(self) -> int | None:
        """The process id of the server (its postmaster), or None while it does not run."""
        return embedded_guard.postmaster_pid(self.data)

    def start(self) -> None:
        """Start the server again if it has died or was stopped; the URL stays the same.

        Raises EmbeddedUnavailable as open_embedded() does.
        """
        with _as_unavailable(self.home), _start_lock(self.home):
            self._cluster.ensure_running()

    def stop(self, mode: str = "fast") -> None:
        """Stop the server under its users, which is for tests of what they do then.

        `mode` is "fast" (clients are disconnected, a checkpoint is written) or "immediate" (as in a
        crash: the next start recovers). Raises EmbeddedUnavailable if it does not stop.
        """
        with _as_unavailable(self.home), _start_lock(self.home):
            self._cluster.stop(mode)

    def remove(self) -> None:
        """Stop the server under its users, give up this share, and delete the data.

        For a server that was made for a moment, such as a test's. Raises EmbeddedUnavailable if it
        does not stop.
        """
        self.stop("immediate")
        self.close()
        base = self.data.parent
        shutil.rmtree(self.data if base == self.home else base)


def default_home() -> Path:
    """The directory named by FORTHWITH_HOME, or else `.forthwith` in the working directory."""
    return Path(os.environ.get("FORTHWITH_HOME") or ".forthwith")


def open_embedded(
    home: Path | str | None = None, *, linger_s: float | None = None
) -> EmbeddedServer:
    """Join the embedded server of `home`, made and started if need be, and return a share of it.

    Blocks until the server answers. Without `home`, default_home() is used. The server stops
    `linger_s` seconds (by default FORTHWITH_EMBEDDED_LINGER_S, or 2) after its last share is gone;
    the first user's value counts. Each call returns a share of its own, so closing one leaves the
    others.

    Raises EmbeddedUnavailable, which says what happened and what to do.

        server = open_embedded()
        connection = psycopg.connect(server.url)
    """
    if sys.platform == "win32":
        raise EmbeddedUnavailable(f"There is no embedded PostgreSQL on Windows. {USE_YOUR_OWN}")
    place = Path(home if home is not None else default_home()).expanduser().resolve()
    linger = _linger_s(linger_s)
    with _as_unavailable(place):
        _make_home(place)
        with _start_lock(place):
            return _join(place, linger)


def _join(home: Path, linger_s: float) -> EmbeddedServer:
    account = embedded_place.choose_account(home)
    cluster = Cluster(home, embedded_place.find_base(home, account), account)
    share = _take_share(home)
    try:
        # The guard first: once the server runs, somebody must be there to stop it.
        _ensure_guard(cluster, linger_s)
        address = cluster.ensure_running()
    except BaseException:
        os.close(share)
        raise
    return EmbeddedServer(home, cluster.data, address.url(DATABASE), address, cluster, [share])


def _take_share(home: Path) -> int:
    # Waits for the guard at most, which holds this lock for a moment when it has nobody to guard.
    descriptor = embedded_guard.open_lock(home, embedded_guard.USERS_LOCK)
    deadline = time.monotonic() + LOCK_MAX_S
    while not embedded_guard.try_lock(descriptor, shared=True):
        if time.monotonic() > deadline:
            os.close(descriptor)
            raise EmbeddedUnavailable(
                f"Another process keeps {home / embedded_guard.USERS_LOCK} locked. {USE_YOUR_OWN}"
            )
        time.sleep(embedded_guard.POLL_S)
    return descriptor


def _ensure_guard(cluster: Cluster, linger_s: float) -> None:
    """Start the guard if there is none; its lock is taken here already, and inherited."""
    with embedded_guard.attempt(cluster.home, embedded_guard.GUARD_LOCK, 0.0) as descriptor:
        if descriptor is None:
            return
        command = [_interpreter(), "-I", "-S", str(embedded_guard.__file__)]
        places = [str(place) for place in (cluster.home, cluster.data, cluster.socket)]
        with open_log(cluster.home) as log:
            command += [*places, str(linger_s), str(descriptor)]
            launch(command, log=log, inherit=descriptor, cwd="/")


def _interpreter() -> str:
    """A Python to run the guard with: sys.executable, unless another program embeds Python."""
    if Path(sys.executable or "").name.startswith(("python", "pypy")):
        return sys.executable
    return str(Path(sys.prefix) / "bin" / f"python{sys.version_info[0]}.{sys.version_info[1]}")


def _make_home(home: Path) -> None:
    if home.is_dir():
        return
    home.mkdir(parents=True, exist_ok=True)
    if os.geteuid() == 0:
        home.chmod(0o711)  # made by us just now: the server's account must pass, whatever the umask
    home.joinpath(".gitignore").write_text("*\n")


def _linger_s(given: float | None) -> float:
    if given is not None:
        return given
    setting = os.environ.get("FORTHWITH_EMBEDDED_LINGER_S")
    try:
        linger_s = float(setting) if setting else LINGER_S
    except ValueError:
        linger_s = -1.0
    if not 0 <= linger_s < float("inf"):
        raise EmbeddedUnavailable(
            f"FORTHWITH_EMBEDDED_LINGER_S is {setting!r}; set it to a number of seconds, 0 or more."
        )
    return linger_s


@contextmanager
def _start_lock(home: Path) -> Iterator[None]:
    with embedded_guard.attempt(home, embedded_guard.START_LOCK, LOCK_MAX_S) as descriptor:
        if descriptor is None:
            raise EmbeddedUnavailable(
                f"Another process has been starting or stopping the PostgreSQL of {home} for over "
                f"{LOCK_MAX_S:.0f} s. {home / LOG} may say why. {USE_YOUR_OWN}"
            )
        yield


@contextmanager
def _as_unavailable(home: Path) -> Iterator[None]:
    """Turn what the operating system refuses into the error that users know."""
    try:
        yield
    except (OSError, subprocess.SubprocessError) as error:
        raise EmbeddedUnavailable(
            f"The embedded PostgreSQL of {home} could not be used: {error}. The directory must be "
            f"one that user id {os.geteuid()} can write to, on a file system with flock. "
            f"{USE_YOUR_OWN}"
        ) from error
