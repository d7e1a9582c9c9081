"""PostgreSQL's disk fills up: `disk_full_scenario.py`, in a mount namespace that takes its disk with it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

REPOSITORY = Path(__file__).parents[2]
SCENARIO_MAX_S = 150.0


@pytest.fixture
def place() -> Iterator[Path]:
    """Where the small disk is mounted: the server's account, which is not root, must get there."""
    place = Path(tempfile.mkdtemp(prefix="forthwith-disk-", dir="/tmp"))
    place.chmod(0o711)
    yield place
    place.rmdir()  # fails if anything stayed there


@pytest.mark.parametrize("filled", ["tables", "wal"])
def test_full_disk_is_refused_and_survived(
    filled: str, place: Path, tmp_path: Path, record_figure: Callable[[str, float, str], None]
) -> None:
    ended = subprocess.run(
        [
            *namespace(),
            *(sys.executable, "-m", "tests.durability.disk_full_scenario"),
            *(str(place), str(tmp_path), filled),
        ],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=SCENARIO_MAX_S,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr[-5000:]
    seen = json.loads(ended.stdout)
    assert seen["ok"], seen["verdict"] + ended.stderr[-5000:]
    assert seen["accepted_jobs"] >= 4
    assert seen["crashed_jobs"] == 0
    assert seen["exits"] == [0]
    assert "No space left on device" in seen["server_log"]
    if filled == "wal":  # PostgreSQL dies; whoever uses it starts it again, when there is room
        assert seen["restarts"] > 0
    else:
        assert "No space left on device" in seen["refusal"]
        assert seen["restarts"] == 0
    record_figure(f"{filled} full: works again after the enlargement", seen["recovered_s"], "s")


def namespace() -> list[str]:
    """The command that runs another where it may mount a disk that nobody else sees. Skips without."""
    program = shutil.which("unshare")
    if program is None or sys.platform != "linux":
        pytest.skip("a full disk needs a mount namespace: Linux, and the program unshare")
    command = [program, "--mount", "--propagation", "private"]
    if os.geteuid() != 0:
        command += ["--user", "--map-current-user", "--keep-caps"]
    mounting = [*command, "mount", "-t", "tmpfs", "none", "/tmp"]  # noqa: S108 -- of the namespace
    tried = subprocess.run(mounting, capture_output=True, text=True, check=False)
    if tried.returncode != 0:
        pytest.skip(f"a full disk needs the right to mount one, if in a namespace: {tried.stderr}")
    return command
