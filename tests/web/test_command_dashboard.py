"""`forthwith dashboard`: what it refuses, that it outlives its database, and how it leaves."""

from __future__ import annotations

import io
import logging
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from forthwith.cli import program
from forthwith.verify.proxy import Proxy
from forthwith.web.passwords import parse_hash
from forthwith.web.server import Place
from tests.support.waiting import wait_until_sync
from tests.web.conftest import HASH, HERE
from tests.web.own_process import DEADLINE_S, serving

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ELSEWHERE = "192.0.2.1"


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    for name in ("PASSWORD_FILE", "USERS", "SECRET_FILE"):
        monkeypatch.delenv(f"FORTHWITH_DASHBOARD_{name}", raising=False)
    monkeypatch.chdir(tmp_path)
    root = logging.getLogger()
    level, handlers = root.level, root.handlers[:]
    yield
    root.setLevel(level)  # a command that ran in this process has set up its own
    root.handlers[:] = handlers


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    """Run a command that cannot start; return its exit code and what it says on stderr."""

    def run(*arguments: object) -> tuple[int, str]:
        code = program.run(
            ["--database", "postgresql://unused/x", "dashboard", *map(str, arguments)]
        )
        return code, capsys.readouterr().err

    return run


def test_elsewhere_than_loopback_needs_credentials(refused: Callable[..., tuple[int, str]]) -> None:
    for arguments in (("--host", ELSEWHERE), ("--host", "::"), ("--trust-proxy", "127.0.0.1")):
        code, said = refused(*arguments)
        assert code == 2
        assert "credentials" in said
        assert "--password-file" in said
        assert "FORTHWITH_DASHBOARD_USERS" in said


def test_broken_credentials_are_named(
    refused: Callable[..., tuple[int, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    users = tmp_path / "users"
    users.write_text("# nobody\nada operator hunter22\n")
    monkeypatch.setenv("FORTHWITH_DASHBOARD_PASSWORD_FILE", str(users))

    code, said = refused("--host", ELSEWHERE)

    assert code == 2
    assert f"{users}, line 2" in said
    assert "hunter22" not in said


def test_short_secret_is_refused(refused: Callable[..., tuple[int, str]], tmp_path: Path) -> None:
    (tmp_path / "users").write_text(f"ada operator {HASH}")
    (tmp_path / "secret").write_text("short")

    code, said = refused("--password-file", "users", "--secret-file", "secret")

    assert (code, "at least 16 characters" in said) == (2, True)


def test_paths_and_keys_that_mean_nothing_are_refused(
    refused: Callable[..., tuple[int, str]], tmp_path: Path
) -> None:
    (tmp_path / "key").write_text("")
    for arguments in (("--root-path", "jobs"), ("--root-path", "/jobs/"), ("--tls-key", "key")):
        code, said = refused(*arguments)
        assert (code, arguments[0].strip("-") in said) == (2, True)


def test_passwords_in_the_clear_are_noticed() -> None:
    assert Place(host=ELSEWHERE, port=1).is_in_the_clear
    assert not Place(host="127.0.0.1", port=1).is_in_the_clear
    assert not Place(host=ELSEWHERE, port=1, trusted_proxies="127.0.0.1").is_in_the_clear
    assert not Place(host=ELSEWHERE, port=1, tls_certificate=Path("cert")).is_in_the_clear


def test_taken_port_is_named(refused: Callable[..., tuple[int, str]]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        code, said = refused("--port", taken.getsockname()[1])

    assert code == 1
    assert "Address already in use" in said


def test_missing_packages_are_named(
    refused: Callable[..., tuple[int, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("forthwith.cli.commands.dashboard.find_spec", lambda _: None)

    code, said = refused()

    assert (code, 'pip install "forthwith[dashboard]"' in said) == (1, True)


def test_missing_packages_are_named_where_it_is_mounted() -> None:
    code = """
import sys
sys.modules["fastapi"] = None
import forthwith.web
try:
    forthwith.web.dashboard(None, open_to_all="viewer")
except ImportError as error:
    print(error)
"""
    said = subprocess.check_output([sys.executable, "-c", code], text=True)

    assert 'pip install "forthwith[dashboard]"' in said


def test_hash_fits_the_password(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("correct horse\n"))

    code = program.run(["dashboard", "--hash-password"])

    hashed = capsys.readouterr().out.strip()
    assert code == 0
    assert parse_hash(hashed).fits("correct horse")


def test_dashboard_outlives_its_database_and_leaves_while_somebody_listens(
    database_url: str, tmp_path: Path
) -> None:
    with Proxy(database_url) as proxy:
        proxy.refuse = True
        with (
            serving(proxy.conninfo, tmp_path) as dashboard,
            httpx.Client(base_url=dashboard.url, headers=HERE, timeout=DEADLINE_S) as client,
        ):

            def status() -> int:
                return client.get("/api/queues").status_code

            away = client.get("/api/jobs")
            assert away.status_code == 503
            assert away.json()["detail"].startswith("The database cannot be reached")
            assert away.headers["retry-after"]
            with client.stream("GET", "/events") as stream:
                lines = stream.iter_lines()
                first_event(lines, "unavailable")

                proxy.refuse = False
                first_event(lines, "change")
                wait_until_sync(lambda: status() == 200)
                assert client.post("/api/queues/mail/pause").json() == {"changed": True}

                proxy.refuse = True
                proxy.cut()
                first_event(lines, "unavailable")
                wait_until_sync(lambda: status() == 503)
                proxy.refuse = False
                wait_until_sync(lambda: status() == 200)

                began = time.monotonic()
                dashboard.process.send_signal(signal.SIGINT)
                assert dashboard.process.wait(DEADLINE_S) == 0
                assert time.monotonic() - began < DEADLINE_S / 2
                assert list(lines)[-1:] in ([], [""]), "the stream ends where an event ends"
        log = dashboard.log.read_text()
        assert "Traceback" not in log
        assert "Cancel " not in log, "no stream had to be cut off"


def first_event(lines: Iterator[str], kind: str) -> None:
    """Read on until an event of that kind."""
    for line in lines:
        if line == f"event: {kind}":
            return
    raise AssertionError(f"the stream ended without the event {kind}")


def test_dashboard_with_logins_leaves_on_sigterm(database_url: str, tmp_path: Path) -> None:
    users = f"ada operator {HASH};grace viewer {HASH}"
    login = {"name": "ada", "password": "correct horse"}
    options = (
        "--host",
        "127.0.0.2",
        "--root-path",
        "/jobs",
        "--log-level",
        "debug",
        "--hide-arguments",
    )
    with (
        serving(database_url, tmp_path, *options, FORTHWITH_DASHBOARD_USERS=users) as dashboard,
        httpx.Client(base_url=dashboard.url, headers=HERE, timeout=DEADLINE_S) as client,
    ):
        assert dashboard.url.startswith("http://127.0.0.2:")
        bare = dashboard.url.removesuffix("/jobs")
        stranger: Any = client.get(f"{bare}/")
        assert (stranger.status_code, stranger.headers["location"]) == (303, "/jobs/login?next=%2F")
        entered = client.post(f"{bare}/login", data={**login, "next": "/queues?a=b"})
        assert entered.headers["location"] == "/jobs/queues?a=b"
        assert "Path=/jobs;" in entered.headers["set-cookie"]
        cookie = {"Cookie": entered.headers["set-cookie"].partition(";")[0]}
        assert client.get(f"{bare}/api/jobs?text=hunter2", headers=cookie).status_code == 422

        assert dashboard.stop(signal.SIGTERM) == 0
    log = dashboard.log.read_text()
    assert "GET /jobs/api/jobs 422" in log
    assert "hunter2" not in log
    assert "correct horse" not in log
