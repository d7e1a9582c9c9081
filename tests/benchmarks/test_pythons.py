"""Which Python a peer gets: small programs that answer as interpreters stand for those."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from benchmarks import environment, pythons
from benchmarks.errors import SetUpError

if TYPE_CHECKING:
    from pathlib import Path

NEWER = f"3.{sys.version_info[1] + 1}"
NEWEST = f"3.{sys.version_info[1] + 2}"


class Machine:
    """Folders in which interpreters are looked for, and a peer that wants one."""

    def __init__(self, root: Path) -> None:
        self.path, self.pyenv, self.peer = root / "bin", root / "pyenv", root / "peers" / "one"
        for folder in (self.path, self.pyenv, self.peer):
            folder.mkdir(parents=True)

    def wants(self, version: str) -> None:
        """The peer needs this Python."""
        (self.peer / pythons.REQUIRES).write_text(f"{version}\n")

    def on_path(self, name: str, version: str) -> str:
        """An interpreter on the PATH."""
        return program(self.path / name, f"echo {version}; echo '{version} (a build)'")

    def in_pyenv(self, version: str) -> str:
        """An interpreter that pyenv keeps."""
        folder = self.pyenv / "versions" / version / "bin"
        folder.mkdir(parents=True)
        return program(folder / "python", f"echo {version}; echo '{version} (a build)'")


def program(path: Path, script: str) -> str:
    """A program that runs a line of shell."""
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return str(path)


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """A machine without any other Python."""
    made = Machine(tmp_path)
    monkeypatch.setenv("PATH", str(made.path))
    monkeypatch.setenv("PYENV_ROOT", str(made.pyenv))
    return made


def test_ours_where_nothing_is_required(machine: Machine) -> None:
    machine.on_path(f"python{NEWER}", f"{NEWER}.0")
    assert pythons.python_for(machine.peer).path == sys.executable


def test_ours_where_it_is_new_enough(machine: Machine) -> None:
    machine.on_path(f"python{NEWER}", f"{NEWER}.0")
    machine.wants(f"3.{sys.version_info[1]}")
    assert pythons.python_for(machine.peer) == pythons.OURS


def test_oldest_that_is_new_enough(machine: Machine) -> None:
    machine.wants(NEWER)
    machine.in_pyenv(f"{NEWEST}.0")
    wanted = machine.in_pyenv(f"{NEWER}.9")
    machine.in_pyenv(f"{NEWER}.10")
    machine.in_pyenv("3.8.1")
    assert pythons.python_for(machine.peer) == (
        wanted,
        pythons._parsed(f"{NEWER}.9"),
        f"{NEWER}.9 (a build)",
    )


def test_found_on_the_path_under_either_name(machine: Machine) -> None:
    machine.wants(NEWER)
    wanted = machine.on_path("python3", f"{NEWER}.0")
    assert pythons.python_for(machine.peer).path == wanted
    wanted = machine.on_path(f"python{NEWER}", f"{NEWER}.0")
    assert pythons.python_for(machine.peer).path == wanted


@pytest.mark.parametrize("script", ["echo not selected >&2; exit 127", "echo 3.twelve", ":"])
def test_what_does_not_answer_as_a_python_is_passed_by(machine: Machine, script: str) -> None:
    machine.wants(NEWER)
    program(machine.path / f"python{NEWER}", script)
    wanted = machine.in_pyenv(f"{NEWEST}.1")
    assert pythons.python_for(machine.peer).path == wanted


@pytest.mark.parametrize("present", [(), ("3.8.1",)])
def test_machine_without_any_says_what_is_needed(
    machine: Machine, present: tuple[str, ...]
) -> None:
    machine.wants(NEWER)
    for version in present:
        machine.in_pyenv(version)
    with pytest.raises(SetUpError, match=f"it needs Python {NEWER} or later; ours is 3."):
        pythons.python_for(machine.peer)


def test_real_interpreter_is_looked_at() -> None:
    assert pythons._look(sys.executable) == pythons.OURS
    assert pythons._look(f"{sys.executable}-missing") is None


# Makes an "environment" whose Python answers yes to everything.
MAKER = """
if test "$1" = -c; then echo {version}; echo {build}; exit; fi
mkdir -p "$3/bin"; printf '#!/bin/sh\nenv > %s/pip\n' "$3" > "$3/bin/python"
chmod +x "$3/bin/python"
"""


def test_environment_is_made_with_it_and_again_when_it_is_another(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", f"{machine.path}:/usr/bin:/bin")
    monkeypatch.setenv("PIP_CONSTRAINT", "constraints.txt")
    monkeypatch.setattr(environment, "PEERS", machine.peer.parent)
    monkeypatch.setattr(environment, "ENVIRONMENTS", tmp_path / "environments")
    (machine.peer / "requirements.txt").touch()
    machine.wants(f"3.{pythons.NEWEST_MINOR - 1}")
    name, version = f"python3.{pythons.NEWEST_MINOR - 1}", f"3.{pythons.NEWEST_MINOR - 1}.0"
    mark = tmp_path / "environments" / "one" / "mark"

    program(machine.path / name, MAKER.format(version=version, build="one"))
    made = str(mark.parent / "bin" / "python")
    assert environment.command("one") == [made, "-m", "benchmarks.peers.one.peer"]
    # What make pins for us is not meant for others, whose pins may be older.
    assert "PIP_CONSTRAINT" not in (mark.parent / "pip").read_text()
    mark.touch()
    environment.command("one")
    assert mark.exists()  # nothing has changed

    program(machine.path / name, MAKER.format(version=version, build="another"))
    environment.command("one")
    assert not mark.exists()
