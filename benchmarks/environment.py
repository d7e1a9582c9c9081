"""A peer's environment: a venv of its own with exact pins, so that nothing of it touches ours."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

from benchmarks.errors import SetUpError

BENCHMARKS = Path(__file__).parent
PEERS = BENCHMARKS / "peers"
ENVIRONMENTS = BENCHMARKS / ".environments"
INSTALL_TIMEOUT_S = 600


def peer_names() -> list[str]:
    """The folders in `benchmarks/peers` that hold a peer; forthwith first."""
    names = sorted(path.parent.name for path in PEERS.glob("*/peer.py"))
    return sorted(names, key=lambda name: name != "forthwith")


def interpreter(peer: str) -> Path:
    """The Python to run `peer` with; makes its environment when it is missing or out of date.

    A peer without a `requirements.txt` (forthwith) runs in the project's own environment.
    Raises SetUpError with the last line of what venv or pip said.
    """
    requirements = PEERS / peer / "requirements.txt"
    if not requirements.exists():
        return Path(sys.executable)
    environment = ENVIRONMENTS / peer
    python = environment / "bin" / "python"
    stamp = environment / "installed"
    wanted = _fingerprint(requirements)
    if not (python.exists() and stamp.exists() and stamp.read_text() == wanted):
        _install(environment, python, requirements)
        stamp.write_text(wanted)
    return python


def _fingerprint(requirements: Path) -> str:
    return hashlib.sha256(sys.version.encode() + requirements.read_bytes()).hexdigest()


def _install(environment: Path, python: Path, requirements: Path) -> None:
    shutil.rmtree(environment, ignore_errors=True)
    _run([sys.executable, "-m", "venv", str(environment)])
    pip = [str(python), "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    _run([*pip, "--no-deps", "--requirement", str(requirements)])
    _run([str(python), "-m", "pip", "--disable-pip-version-check", "check"])


def _run(command: list[str]) -> None:
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=INSTALL_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SetUpError(str(error)) from error
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip() or "no output").splitlines()
        raise SetUpError(f"{command[2]} failed: {said[-1]}")
