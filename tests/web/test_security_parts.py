"""What the guards decide by: hosts, origins, passwords, logins, sessions, attempts."""

from __future__ import annotations

import base64

import pytest

from forthwith.errors import InvalidArgument
from forthwith.web import passwords
from forthwith.web.credentials import Credentials
from forthwith.web.gates import basic_credentials
from forthwith.web.hosts import is_allowed, is_loopback
from forthwith.web.login import safe_target
from forthwith.web.origin import is_from_here
from forthwith.web.passwords import hash_password, parse_hash
from forthwith.web.role import Role
from forthwith.web.sessions import Sessions
from forthwith.web.throttle import Throttle
from tests.web.conftest import HASH

CREDENTIALS = Credentials.parse(f"# who\n\nada operator {HASH}\n  grace   viewer {HASH}  \n")


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_addresses_of_this_machine_alone(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host", ["192.0.2.1", "::", "192.168.0.1", "example.org", "127.0.0.1.x.org"]
)
def test_addresses_that_others_reach(host: str) -> None:
    assert not is_loopback(host)


@pytest.mark.parametrize("header", ["localhost", "LOCALHOST:8090", "127.0.0.1:1", "[::1]:8090"])
def test_allowed_host(header: str) -> None:
    assert is_allowed(header, ("localhost", "127.0.0.1", "::1"))


@pytest.mark.parametrize(
    "header",
    ["", "evil.example", "localhost.evil.example:8090", "[::2]", "evil:localhost", "[", "::1]"],
)
def test_strange_host(header: str) -> None:
    assert not is_allowed(header, ("localhost", "127.0.0.1", "::1"))


@pytest.mark.parametrize(
    "headers",
    [
        {"sec-fetch-site": "same-origin", "origin": "http://elsewhere"},
        {"sec-fetch-site": "none"},
        {"origin": "http://jobs:8090", "host": "jobs:8090"},
        {"origin": "http://jobs", "host": "jobs:80"},
    ],
)
def test_request_from_our_own_pages(headers: dict[str, str]) -> None:
    assert is_from_here(headers, "http")


@pytest.mark.parametrize(
    "headers",
    [
        {"host": "jobs"},
        {"sec-fetch-site": "cross-site", "origin": "http://jobs", "host": "jobs"},
        {"sec-fetch-site": "same-site", "host": "jobs"},
        {"sec-fetch-site": "", "host": "jobs"},
        {"origin": "null", "host": "jobs"},
        {"origin": "https://jobs", "host": "jobs"},
        {"origin": "http://jobs:81", "host": "jobs"},
        {"origin": "http://jobs.evil.example", "host": "jobs"},
        {"origin": "http://jobs"},
    ],
)
def test_request_from_elsewhere(headers: dict[str, str]) -> None:
    assert not is_from_here(headers, "http")


def test_hash_fits_its_password_alone_and_shows_nothing_of_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert (passwords._LOG2_N, passwords._R, passwords._P) == (15, 8, 3), (
        "it takes long, as it should"
    )
    monkeypatch.setattr(passwords, "_LOG2_N", 2)
    again, other = hash_password("correct horse"), hash_password("correct horse")

    assert parse_hash(again).fits("correct horse")
    assert not parse_hash(again).fits("correct horsf")
    assert not parse_hash(again).fits("")
    assert again != other
    assert "correct" not in again
    assert again.isascii()
    assert not set(again) & set("$#;'\" ")


@pytest.mark.parametrize("password", ["", "short", "x" * 1025])
def test_unfit_password_is_refused(password: str) -> None:
    with pytest.raises(InvalidArgument, match="from 8 to 1,024 characters"):
        hash_password(password)


@pytest.mark.parametrize(
    "text",
    [
        "hunter22",
        "scrypt.15.8.3.x",
        HASH.replace("scrypt", "bcrypt"),
        HASH.replace(".1.8.", ".40.8."),
        HASH.replace(".1.8.", ".0.8."),
        HASH.replace(".1.8.", ".-1.8."),
        HASH.replace(".1.8.", ".x.8."),
        HASH.replace(".8.", ".99999999."),
        HASH.replace(".8.1.", ".8.9999."),
        HASH[:-8],
    ],
)
def test_broken_hash_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(InvalidArgument, match="--hash-password") as caught:
        Credentials.parse(f"ada viewer {text}")

    assert text not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "names nobody"),
        ("# nobody", "names nobody"),
        ("ada operator", "line 1: must be a name, a role"),
        (f"\nada admin {HASH}", "line 2: must be a name, a role"),
        (f"ada viewer {HASH} more", "line 1"),
        (f"ada viewer {HASH}\nada operator {HASH}", "names somebody twice"),
        (f"{'a' * 65} viewer {HASH}", "too long"),
        (f"a\x1bda viewer {HASH}", "cannot be printed"),
    ],
)
def test_broken_credentials_name_the_line(text: str, problem: str) -> None:
    with pytest.raises(InvalidArgument, match=problem) as caught:
        Credentials.parse(text)

    assert HASH not in str(caught.value)


def test_missing_password_file_is_named() -> None:
    with pytest.raises(InvalidArgument, match="cannot read nowhere: No such file"):
        Credentials.read("nowhere")


def test_credentials_know_names_and_passwords() -> None:
    ada = CREDENTIALS.check("ada", "correct horse")

    assert ada is not None
    assert (ada.name, ada.role) == ("ada", Role.OPERATOR)
    assert CREDENTIALS.check("ada", "wrong horse") is None
    assert CREDENTIALS.check("nobody", "the password of nobody") is None
    assert HASH.rpartition(".")[2] not in repr(ada)


def sessions(**options: object) -> Sessions:
    return Sessions(CREDENTIALS, **{"secret": "s" * 32, "lasts_s": 60.0, **options})  # type: ignore[arg-type]


def test_session_is_its_users() -> None:
    ada = CREDENTIALS.find("ada")
    assert ada is not None

    cookie = sessions().begin(ada)

    assert sessions().login_of(cookie) == ada
    assert sessions(secret="t" * 32).login_of(cookie) is None
    assert sessions(secret=None).login_of(cookie) is None
    assert sessions(lasts_s=-1.0).login_of(cookie) is None


def test_changed_password_ends_sessions() -> None:
    ada = CREDENTIALS.find("ada")
    assert ada is not None
    cookie = sessions().begin(ada)
    for line in (
        f"ada operator {hash_password('other horse')}",
        f"ada viewer {HASH}",
        f"eve viewer {HASH}",
    ):
        later = Sessions(Credentials.parse(line), secret="s" * 32, lasts_s=60.0)
        assert later.login_of(cookie) is None


@pytest.mark.parametrize("cookie", ["", "x", "a.b.c", "W10.aaaa.bbbb", "é", "x" * 5000, "\x00"])
def test_forged_cookie_is_nobodys(cookie: str) -> None:
    assert sessions().login_of(cookie) is None


def test_altered_cookie_is_nobodys() -> None:
    ada = CREDENTIALS.find("ada")
    assert ada is not None
    cookie = sessions().begin(ada)
    other = base64.urlsafe_b64encode(f'["grace","{ada.fingerprint}"]'.encode()).decode().rstrip("=")

    assert sessions().login_of(f"{other}.{cookie.partition('.')[2]}") is None


def test_attempts_are_counted_by_key_and_forgotten_with_time() -> None:
    now = 100.0
    throttle = Throttle(2, within_s=60, clock=lambda: now)

    throttle.failed("a")
    assert throttle.wait_s("a") == 0
    now = 110.0
    throttle.failed("a")
    assert throttle.wait_s("a") == 50
    assert throttle.wait_s("b") == 0
    now = 160.0
    assert throttle.wait_s("a") == 0
    throttle.failed("a")
    assert throttle.wait_s("a") == 10
    throttle.succeeded("a")
    assert throttle.wait_s("a") == 0


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (f"Basic {base64.b64encode(b'ada:a:b').decode()}", ("ada", "a:b")),
        (f"basic {base64.b64encode('ä:ö'.encode()).decode()}", ("ä", "ö")),
        (f"Basic {base64.b64encode(b'ada').decode()}", ("", "")),
        ("Basic %%%", ("", "")),
        ("Basic /zp4", ("", "")),  # not UTF-8
        ("Bearer abc", ("", "")),
        ("", ("", "")),
    ],
)
def test_basic_credentials(header: str, expected: tuple[str, str]) -> None:
    assert basic_credentials(header) == expected


@pytest.mark.parametrize(
    ("wanted", "target"),
    [
        ("/jobs?queue=a%20b", "/jobs?queue=a%20b"),
        ("/", "/"),
        ("", "/"),
        ("jobs", "/"),
        ("//evil.example/x", "/"),
        ("///evil.example/x", "/"),
        ("/\\evil.example", "/"),
        ("https://evil.example/", "/"),
        ("javascript:alert(1)", "/"),
        ("/a\r\nSet-Cookie: x=y", "/"),
        ("http://[", "/"),
    ],
)
def test_login_leads_nowhere_else(wanted: str, target: str) -> None:
    assert safe_target(wanted) == target
