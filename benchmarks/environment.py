"""A peer's environment: exact pins in a folder of its own, so that nothing of it touches ours."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.errors import SetUpError
from benchmarks.pythons import python_for

if TYPE_CHECKING:
    from collections.abc import Sequence

BENCHMARKS = Path(__file__).parent
PEERS = BENCHMARKS / "peers"
ENVIRONMENTS = BENCHMARKS / ".environments"
INSTALL_TIMEOUT_S = 600
# The rulers first: ourselves, then what PostgreSQL alone can do.
FIRST = ("forthwith", "raw_sql")
LEFT_BEHIND = ("node_modules", "__pycache__")


def peer_names() -> list[str]:
    """The folders in `benchmarks/peers` that hold a peer; forthwith first."""
    found = [*PEERS.glob("*/peer.py"), *PEERS.glob("*/peer.mjs")]
    names = sorted(path.parent.name for path in found)
    rank = {name: index for index, name in enumerate(FIRST)}
    return sorted(names, key=lambda name: rank.get(name, len(FIRST)))


def command(peer: str) -> list[str]:
    """What runs `peer`; makes its environment when it is missing or out of date.

    Raises SetUpError with the last line of what venv, pip or npm said.
    """
    if (PEERS / peer / "peer.mjs").exists():
        return _node_command(peer)
    return [str(_interpreter(peer)), "-m", f"benchmarks.peers.{peer}.peer"]


def _interpreter(peer: str) -> Path:
    """The Python to run `peer` with; without a `requirements.txt` it is the project's own."""
    requirements = PEERS / peer / "requirements.txt"
    if not requirements.exists():
        return Path(sys.executable)
    environment = ENVIRONMENTS / peer
    python = environment / "bin" / "python"
    base = python_for(PEERS / peer)
    wanted = fingerprint([base.build.encode(), requirements.read_bytes()])
    if not (python.exists() and _is_current(environment, wanted)):
        _install_python(environment, python, requirements, base.path)
        _stamp(environment).write_text(wanted)
    return python


def _install_python(environment: Path, python: Path, requirements: Path, base: str) -> None:
    shutil.rmtree(environment, ignore_errors=True)
    _run([base, "-m", "venv", str(environment)])
    pip = [str(python), "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    _run([*pip, "--no-deps", "--requirement", str(requirements)])
    _run([str(python), "-m", "pip", "--disable-pip-version-check", "check"])


def _node_command(peer: str) -> list[str]:
    """Node with a copy of the peer's folder: packages are looked for beside the module."""
    environment = ENVIRONMENTS / peer
    lock = PEERS / peer / "package-lock.json"
    if not lock.exists():
        raise SetUpError("it has no package-lock.json")
    wanted = fingerprint([lock.read_bytes(), (PEERS / peer / "package.json").read_bytes()])
    if not _is_current(environment, wanted):
        shutil.rmtree(environment, ignore_errors=True)
        _copy(peer)
        _run([_program("npm"), "ci", "--no-audit", "--no-fund"], cwd=environment)
        _stamp(environment).write_text(wanted)
    _copy(peer)
    return [_node(environment), str(environment / "peer.mjs")]


def _copy(peer: str) -> None:
    ignored = shutil.ignore_patterns(*LEFT_BEHIND)
    shutil.copytree(PEERS / peer, ENVIRONMENTS / peer, ignore=ignored, dirs_exist_ok=True)
    for shared in PEERS.glob("*.mjs"):
        shutil.copy2(shared, ENVIRONMENTS / shared.name)


def _node(environment: Path) -> str:
    """The Node that the peer pins and brings along, or else the one on the PATH."""
    brought = sorted(environment.glob("node_modules/node-*/bin/node"))
    for path in brought:
        if _runs(path):
            return str(path)
    return _program("node")


def _runs(path: Path) -> bool:
    try:
        return not subprocess.run([path, "--version"], capture_output=True, check=False).returncode
    except OSError:
        return False


def _program(name: str) -> str:
    if found := shutil.which(name):
        return found
    raise SetUpError(f"there is no {name} on the PATH")


def fingerprint(parts: Sequence[bytes]) -> str:
    """What an environment was made from."""
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def _stamp(environment: Path) -> Path:
    return environment / "installed"


def _is_current(environment: Path, wanted: str) -> bool:
    stamp = _stamp(environment)
    return stamp.exists() and stamp.read_text() == wanted


def _run(words: list[str], cwd: Path | None = None) -> None:
    # What make pins for our own environment is not meant for a peer's.
    ours = ("PIP_CONSTRAINT", "PIP_BUILD_CONSTRAINT")
    try:
        done = subprocess.run(
            words,
            cwd=cwd,
            env={name: value for name, value in os.environ.items() if name not in ours},
            capture_output=True,
            text=True,
            timeout=INSTALL_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SetUpError(str(error)) from error
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip() or "no output").splitlines()
        raise SetUpError(f"{' '.join(words[1:3])} failed: {said[-1]}")
