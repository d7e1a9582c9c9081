"""Secrets in arguments are hidden by their names, however deep, and nothing else is."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forthwith.web.redaction import DEPTH_MAX, HIDDEN, all_hidden, is_secret_name, redacted

SECRET_NAMES = [
    *("password", "userPassword", "DB_PASSWORD", "passwd", "secret", "client_secret"),
    *("clientSecret", "token", "access_token", "refreshToken", "api_key", "apiKey", "API-KEY"),
    *("x-api-key", "apikey", "authorization", "Authorization", "auth", "bearer", "cookie"),
    *("sessionid", "session_id", "card", "card_number", "cardNumber", "creditCard", "cvv"),
    *("iban", "ssn", "private_key", "privateKey", "pin", "otp", "credentials"),
    *("aws_secret_access_key", "signing_key", "encryption-key", "connection_string"),
]
PLAIN_NAMES = [
    *("to", "user", "key", "keyboard", "monkey", "author", "authors", "discard", "cardinal"),
    *("postcard", "passenger", "compass", "spinner", "opinion", "id", "name", "queue", "url"),
    *("path", "account", "number", "tax", "signal", "designature"),
]

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=10,
)


@pytest.mark.parametrize("name", SECRET_NAMES)
def test_value_of_a_secret_name_is_hidden(name: str) -> None:
    assert redacted({name: "hunter2"}) == {name: HIDDEN}


@pytest.mark.parametrize("name", PLAIN_NAMES)
def test_value_of_another_name_is_shown(name: str) -> None:
    assert redacted({name: "hunter2"}) == {name: "hunter2"}


def test_secrets_are_hidden_however_deep_and_whatever_they_are() -> None:
    value = {
        "users": [{"name": "ada", "password": {"old": "hunter2", "new": ["hunter3"]}}],
        "login": {"token": 17, "tokens": [1, 2], "auth": False, "secret": None},
    }

    assert redacted(value) == {
        "users": [{"name": "ada", "password": HIDDEN}],
        "login": {"token": HIDDEN, "tokens": HIDDEN, "auth": HIDDEN, "secret": None},
    }


def test_passwords_in_urls_are_hidden_under_any_name() -> None:
    shown = redacted({"to": ["see postgresql://ada:hunter2@db/x and http://h/a:b@c"]})

    assert shown == {"to": [f"see postgresql://ada:{HIDDEN}@db/x and http://h/a:b@c"]}


def test_what_lies_too_deep_is_hidden() -> None:
    value: object = "hunter2"
    for level in range(3 * DEPTH_MAX):
        value = [value] if level % 2 else {"a": value}

    assert "hunter2" not in json.dumps(redacted(value))


def test_rule_of_ones_own_replaces_the_names() -> None:
    shown = redacted({"password": "x", "salary": 5}, lambda name, _value: name == "salary")

    assert shown == {"password": "x", "salary": HIDDEN}


def test_all_arguments_can_be_hidden_but_for_their_names() -> None:
    assert all_hidden({"to": "ada", "n": {"deep": 1}}) == {"to": HIDDEN, "n": HIDDEN}


@given(JSON, st.sampled_from(SECRET_NAMES))
def test_no_secret_is_left_wherever_it_is_put(value: object, name: str) -> None:
    marked = {"a": [value, {name: ["hunter2", value]}], "b": value}

    assert "hunter2" not in json.dumps(redacted(marked))


@given(JSON)
def test_hiding_twice_hides_nothing_more(value: object) -> None:
    assert redacted(redacted(value)) == redacted(value)


def test_rules_for_names_know_words() -> None:
    assert not is_secret_name("discarded")
    assert is_secret_name("discarded_card")
