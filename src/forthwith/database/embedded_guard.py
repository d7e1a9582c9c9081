"""The guard: a tiny detached process that stops the embedded server after its last user.

It is run as a file by a bare interpreter (`python -I -S embedded_guard.py`), so it imports a few
modules of the standard library and nothing of forthwith. The locks and the reading of
`postmaster.pid` live here because the guard and the users must agree on them.

Four files in the home, each locked with `flock`, so that the kernel releases them however a process
dies:

- `users.lock`: shared by each user; the guard waits for it exclusively.
- `start.lock`: exclusive, held by whoever starts or stops the server, or decides to.
- `server.lock`: exclusive, inherited by the server's own processes: held means that one of them
  lives.
- `guard.lock`: exclusive, inherited by the guard: held means that it lives.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator  # noqa: TC003 - typing would take the guard longer

with contextlib.suppress(ImportError):  # Windows, where open_embedded() refuses before any lock
    import fcntl

USERS_LOCK = "users.lock"
START_LOCK = "start.lock"
SERVER_LOCK = "server.lock"
GUARD_LOCK = "guard.lock"

STOP_SIGNALS = {"fast": signal.SIGINT, "immediate": getattr(signal, "SIGQUIT", signal.SIGTERM)}
FAST_STOP_MAX_S = 60.0
IMMEDIATE_STOP_MAX_S = 15.0
POLL_S = 0.02


def open_lock(home: str | os.PathLike[str], name: str) -> int:
    """Open the lock file `name` of `home`, made if missing; returns its descriptor, not yet locked.

    The descriptor is close-on-exec. Locks belong to it, not to the process: close it to unlock.
    """
    # Read and write, because an exclusive flock over NFS needs a writable descriptor.
    return os.open(os.path.join(home, name), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)  # noqa: PTH118


def try_lock(descriptor: int, *, shared: bool = False) -> bool:
    """Lock without waiting; False if somebody else's lock is in the way."""
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


# Descriptors whose lock lasts no longer than a step. A process that another thread forks meanwhile
# would hold their locks for as long as it lives, so it closes them first.
_transient: set[int] = set()


def _forget_transient() -> None:
    while _transient:
        os.close(_transient.pop())


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_transient)


@contextlib.contextmanager
def attempt(home: str | os.PathLike[str], name: str, wait_max_s: float) -> Iterator[int | None]:
    """Hold the lock `name` for the block, waiting for it at most `wait_max_s` seconds.

    Gives its descriptor, or None if somebody else still has the lock. A process started in the
    block that inherits the descriptor keeps the lock after the block.
    """
    descriptor = open_lock(home, name)
    _transient.add(descriptor)
    try:
        deadline = time.monotonic() + wait_max_s
        while not (locked := try_lock(descriptor)) and time.monotonic() < deadline:
            time.sleep(POLL_S)
        yield descriptor if locked else None
    finally:
        if descriptor in _transient:  # not so in a child that was forked in the block
            _transient.discard(descriptor)
            os.close(descriptor)


def unlock(descriptor: int) -> None:
    """Unlock for every process that shares the descriptor."""
    fcntl.flock(descriptor, fcntl.LOCK_UN)


def is_locked(home: str | os.PathLike[str], name: str, wait_max_s: float = 0.0) -> bool:
    """Whether anybody holds the lock `name`, and still does after `wait_max_s` seconds.

    Call it under `start.lock`: it takes the lock for a moment.
    """
    with attempt(home, name, wait_max_s) as descriptor:
        return descriptor is None


def read_pid_file(data: str | os.PathLike[str]) -> list[str]:
    """The lines of the data directory's `postmaster.pid`; none if there is no such file."""
    try:
        with open(os.path.join(data, "postmaster.pid")) as file:  # noqa: PTH118, PTH123
            return file.read().splitlines()
    except FileNotFoundError:
        return []


def postmaster_pid(data: str | os.PathLike[str]) -> int | None:
    """The process id of the server that runs on this data directory, or None.

    A stale `postmaster.pid` is seen through, even if its number is a zombie's or another program's
    now.
    """
    lines = read_pid_file(data)
    pid = int(lines[0]) if lines and lines[0].strip().isdigit() else 0
    return pid if pid > 0 and _is_postmaster(pid, data) else None


def _is_postmaster(pid: int, data: str | os.PathLike[str]) -> bool:
    if not _has_proc():
        return _looks_like_postgres(pid)
    try:
        # The working directory of a server's processes is its data directory; a zombie has none.
        return os.readlink(f"/proc/{pid}/cwd") == os.path.realpath(data)  # noqa: PTH115
    except OSError:
        return False


def server_pids(data: str | os.PathLike[str]) -> list[int]:
    """The processes of PostgreSQL's that run on this data directory; where /proc tells, else none."""
    numbers = [name for name in os.listdir("/proc") if name.isdigit()] if _has_proc() else []  # noqa: PTH208
    return [int(name) for name in numbers if _is_postmaster(int(name), data) and _is_postgres(name)]


def _is_postgres(pid: str) -> bool:
    # The program's file may have been deleted since: then its name has a suffix.
    with contextlib.suppress(OSError):
        return os.path.basename(os.readlink(f"/proc/{pid}/exe")).startswith("postgres")  # noqa: PTH115, PTH119
    return False


def _has_proc() -> bool:
    return os.path.isdir("/proc/self")  # noqa: PTH112


def _looks_like_postgres(pid: int) -> bool:
    """For systems without /proc (macOS)."""
    command = ["/bin/ps", "-o", "stat=,command=", "-p", str(pid)]
    shown = subprocess.run(command, capture_output=True, text=True, check=False).stdout  # noqa: S603
    return "postgres" in shown and not shown.lstrip().startswith("Z")


def stop_server(
    home: str | os.PathLike[str], data: str | os.PathLike[str], mode: str = "fast"
) -> bool:
    """Stop the server that forthwith started in `home`; True once none of its processes is left.

    `mode` is "fast" (disconnect the clients, checkpoint, exit) or "immediate" (exit like a crash).
    A fast stop that takes over a minute becomes an immediate one. Call it under `start.lock`. A
    server that somebody else started on the same data is left alone.
    """
    for signalled, wait_max_s in (
        (STOP_SIGNALS[mode], FAST_STOP_MAX_S),
        (STOP_SIGNALS["immediate"], IMMEDIATE_STOP_MAX_S),
    ):
        if not is_locked(home, SERVER_LOCK):
            return True
        pid = postmaster_pid(data)
        if pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signalled)
        if not is_locked(home, SERVER_LOCK, wait_max_s):
            return True
    return False


def stop_for_good(home: str, data: str, socket: str) -> None:
    """Stop the server and remove the directory of its socket, which nobody needs now."""
    if not stop_server(home, data) or postmaster_pid(data) is not None:
        return
    with contextlib.suppress(OSError):
        for name in (".s.PGSQL.5432", ".s.PGSQL.5432.lock"):  # a killed server leaves them
            with contextlib.suppress(FileNotFoundError):
                os.unlink(os.path.join(socket, name))  # noqa: PTH108, PTH118
        os.rmdir(socket)  # noqa: PTH106


def guard(home: str, data: str, socket: str, linger_s: float) -> None:
    """Wait until the home has had no user for `linger_s` seconds, then stop its server."""
    users = open_lock(home, USERS_LOCK)
    start = open_lock(home, START_LOCK)
    while True:
        fcntl.flock(users, fcntl.LOCK_EX)
        # Given back at once: whoever holds start.lock may be waiting for this one, so never the
        # other way round.
        unlock(users)
        time.sleep(linger_s)
        fcntl.flock(start, fcntl.LOCK_EX)
        if try_lock(users):
            stop_for_good(home, data, socket)
            return  # still holding both; the caller lets go in the right order
        unlock(start)


def main(arguments: list[str]) -> None:
    """Run as `embedded_guard.py HOME DATA SOCKET LINGER_S DESCRIPTOR`; the last has the lock."""
    home, data, socket, linger_s, descriptor = arguments
    os.set_inheritable(int(descriptor), False)
    guard(home, data, socket, float(linger_s))
    # Before start.lock goes with the process: whoever gets that next must see that the guard is
    # gone.
    os.close(int(descriptor))


if __name__ == "__main__":
    main(sys.argv[1:])
