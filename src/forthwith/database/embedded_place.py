"""Where the embedded server lives: its account and its directories.

PostgreSQL refuses to run as root. For root, its processes run under an account that exists already,
and what that account cannot reach is put under `/var/lib/forthwith`; permissions of directories
that are not forthwith's own are never touched.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import secrets
import stat
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from forthwith.errors import EmbeddedUnavailable

SYSTEM_PLACE = Path("/var/lib/forthwith")
POINTER = "data-location.txt"
USE_YOUR_OWN = (
    'Or use a PostgreSQL of your own: App("postgresql://...") or the environment variable '
    "FORTHWITH_DATABASE_URL."
)


@dataclass(frozen=True, slots=True)
class Account:
    """The operating system's account that the server runs under."""

    name: str
    uid: int
    gid: int

    def process_options(self) -> dict[str, Any]:
        """What to pass to subprocess to run as this account, if we are another."""
        if self.uid == os.geteuid():
            return {}
        return {"user": self.uid, "group": self.gid, "extra_groups": []}

    def own(self, path: Path) -> None:
        """Give `path`, which must be forthwith's own, to this account."""
        if self.uid != os.geteuid():
            os.chown(path, self.uid, self.gid, follow_symlinks=False)

    def can_enter(self, directory: Path) -> bool:
        """Whether the account can reach `directory`, found out by trying as that account."""
        return self.succeeds(["/bin/sh", "-c", 'test -x "$0"', str(directory)])

    def succeeds(self, command: list[str]) -> bool:
        """Whether the account can run `command`, and it exits with 0.

        Raises EmbeddedUnavailable if we may not run anything as that account.
        """
        try:
            ended = subprocess.run(  # noqa: S603
                command,
                check=False,
                capture_output=True,
                cwd="/",
                env=environment(),
                **self.process_options(),
            )
        except OSError as error:
            if error.errno in (errno.EPERM, errno.EINVAL):
                raise EmbeddedUnavailable(
                    f"PostgreSQL does not run as root, and root may not become {self.name} here, "
                    f"as in some containers: {error}. Run as another user. {USE_YOUR_OWN}"
                ) from error
            return False
        return ended.returncode == 0


def environment() -> dict[str, str]:
    """The environment of the server's processes: none of our secrets, none of libpq's variables."""
    kept = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH") if name in os.environ}
    return {**kept, "LC_ALL": "C", "TZ": "UTC"}


def choose_account(home: Path) -> Account:
    """Our own account, or for root an unprivileged one that exists: never one that we make.

    For root that is FORTHWITH_POSTGRES_USER, or who owns the data of `home` already, or `postgres`,
    or `nobody`. Raises EmbeddedUnavailable if FORTHWITH_POSTGRES_USER names none, or root.
    """
    import pwd  # not on Windows

    if os.geteuid() != 0:
        return Account(str(os.geteuid()), os.geteuid(), os.getegid())
    asked = os.environ.get("FORTHWITH_POSTGRES_USER")
    if not asked and (owner := _owner_of_data(home)):
        return owner
    for name in [asked] if asked else ["postgres", "nobody"]:
        with contextlib.suppress(KeyError):
            entry = pwd.getpwnam(name)
            if entry.pw_uid != 0:
                return Account(name, entry.pw_uid, entry.pw_gid)
    raise EmbeddedUnavailable(
        "PostgreSQL does not run as root, and the account to run it under "
        f"({asked or 'postgres or nobody'}) does not exist or is root. Set FORTHWITH_POSTGRES_USER "
        f"to an unprivileged account, or run as another user. {USE_YOUR_OWN}"
    )


def _owner_of_data(home: Path) -> Account | None:
    # So that an account `postgres` that comes later, with a package, changes nothing.
    pointer = home / POINTER
    data = (_follow(pointer) if pointer.exists() else home) / "data"
    if not data.is_dir():
        return None
    found = data.stat()
    return Account(f"with id {found.st_uid}", found.st_uid, found.st_gid) if found.st_uid else None


def find_base(home: Path, account: Account) -> Path:
    """The directory that holds the data directory: the home, or for root a system place.

    Root's home may lie where the account cannot enter, such as under /root. The data are then in a
    directory of their own under /var/lib/forthwith, and a file in the home points there.
    """
    pointer = home / POINTER
    if pointer.exists():
        return _follow(pointer)
    if account.uid == os.geteuid() or home.joinpath("data").exists() or account.can_enter(home):
        return home
    return _new_base(home, pointer)


def _follow(pointer: Path) -> Path:
    if pointer.lstat().st_uid != os.geteuid():
        raise EmbeddedUnavailable(
            f"{pointer} was not made by us (user id {os.geteuid()}), so it is not followed. Run "
            f"as the user who made it, or choose another FORTHWITH_HOME. {USE_YOUR_OWN}"
        )
    base = Path(pointer.read_text().splitlines()[0])
    if not base.is_dir():
        raise EmbeddedUnavailable(
            f"{pointer} says that the data are in {base}, but that directory is gone. Bring it "
            f"back, or delete {pointer} to start with an empty database. {USE_YOUR_OWN}"
        )
    return base


def _new_base(home: Path, pointer: Path) -> Path:
    # A random part in the name: whoever deletes the home starts over, and never meets old data
    # again.
    base = Path(tempfile.mkdtemp(prefix=f"{digest(str(home))}-", dir=system_place()))
    base.chmod(0o755)
    base.joinpath("README.txt").write_text(
        f"The embedded PostgreSQL of {home}\n\n"
        "It is here because root's server runs under an account that cannot enter that directory.\n"
        "Once that directory is gone for good, this one can be deleted too.\n"
    )
    write_atomically(
        pointer,
        f"{base}\n\n"
        "The line above says where the data of this home's PostgreSQL are: the account that the\n"
        "server runs under cannot enter this directory, and forthwith never changes permissions\n"
        "that are not its own. To start over, stop all users, then delete that directory and this\n"
        "file.\n",
    )
    return base


def system_place() -> Path:
    """/var/lib/forthwith, made if missing.

    Raises EmbeddedUnavailable if anybody else could write there.
    """
    with contextlib.suppress(FileExistsError):
        SYSTEM_PLACE.mkdir(0o755)
        SYSTEM_PLACE.chmod(0o755)  # whatever the umask
    found = SYSTEM_PLACE.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o022:
        raise EmbeddedUnavailable(
            f"{SYSTEM_PLACE} must be a directory that only user id {os.geteuid()} can write to. "
            f"Look at who made it, and remove it. {USE_YOUR_OWN}"
        )
    return SYSTEM_PLACE


def socket_path(base: Path, data: Path) -> Path:
    """The directory for the server's socket, a short path.

    Under /tmp, because $XDG_RUNTIME_DIR and $TMPDIR may go with the login session that a worker
    outlives, and a socket's whole path is limited to 103 bytes on some systems.
    """
    name = digest(f"{_instance(base)} {data.resolve()}")
    place = Path("/tmp")  # noqa: S108
    if not os.access(place, os.W_OK | os.X_OK):
        place = Path(tempfile.gettempdir())
    return place / f"forthwith-{name}"


def make_socket_directory(directory: Path, account: Account) -> None:
    """Make the directory for the server's socket if it is missing, closed to other accounts.

    Raises EmbeddedUnavailable if somebody else has made it.
    """
    with contextlib.suppress(FileExistsError):
        directory.mkdir(0o700)
    if directory.lstat().st_uid == os.geteuid() and not directory.is_symlink():
        account.own(directory)
    found = directory.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != account.uid or found.st_mode & 0o077:
        raise EmbeddedUnavailable(
            f"{directory} should be a directory that only user id {account.uid} can enter, but it "
            f"belongs to user id {found.st_uid} with mode {stat.filemode(found.st_mode)}. Somebody "
            "may be trying to get between forthwith and its database: find out who, and remove it. "
            f"{USE_YOUR_OWN}"
        )


def _instance(base: Path) -> str:
    """A random name for the server of `base`, kept in a file: two servers never share a socket."""
    path = base / "instance"
    if not path.exists():
        write_atomically(path, secrets.token_hex(8))
    return path.read_text()


def write_atomically(path: Path, text: str) -> None:
    """Write a file that others see whole or not at all, readable by every account."""
    descriptor, partial = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        os.fchmod(descriptor, 0o644)
        file.flush()
        os.fsync(descriptor)
    Path(partial).replace(path)


def digest(text: str) -> str:
    """A short name for `text`, in 12 hexadecimal digits."""
    return hashlib.sha256(text.encode()).hexdigest()[:12]
