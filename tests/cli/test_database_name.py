"""A database's name in logs and tables has no secrets."""

from __future__ import annotations

import pytest

from forthwith.cli.database_name import without_password


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://ada:secret@host:5432/db", "postgresql://ada@host:5432/db"),
        ("host=host password=secret dbname=db", "postgresql://host/db"),
        ("postgresql://a:b@h1:1,h2:2/x?sslpassword=s", "postgresql://a@h1:1,h2:2/x"),
        ("postgresql://h1,h2:5/x", "postgresql://h1,h2:5/x"),
        ("postgresql:///db?host=/run/pg", "postgresql:///db?host=/run/pg"),
        ("postgresql://[::1]:1/x", "postgresql://[::1]:1/x"),
        ("postgresql:///", "postgresql:///"),
    ],
)
def test_only_user_place_and_name_are_shown(url: str, shown: str) -> None:
    assert without_password(url) == shown
