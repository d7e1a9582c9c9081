"""A job's arguments: what becomes JSON, and what is refused with its path."""

from __future__ import annotations

import datetime
import json
import math
import pickle
from typing import Any

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forthwith.arguments import ARRAY_CHARACTERS_MAX, DEPTH_MAX, serialize, serialize_all
from forthwith.errors import (
    ArgumentsNotSerializable,
    ArgumentsTooLarge,
    InvalidArgument,
    ProcrastinateException,
)

BYTES_MAX = 1024 * 1024
quick = settings(deadline=None, max_examples=50)

texts = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0"))
scalars = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
)
values = st.recursive(
    scalars | texts,
    lambda inner: st.lists(inner) | st.dictionaries(texts, inner),
    max_leaves=8,
)


def encode(arguments: Any, **options: Any) -> str:
    return serialize(arguments, **{"bytes_max": BYTES_MAX, **options})


def refusal(arguments: Any, **options: Any) -> ArgumentsNotSerializable:
    with pytest.raises(ArgumentsNotSerializable) as refused:
        encode(arguments, **options)
    return refused.value


def nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth - 1):
        value = [value]
    return value


@quick
@given(st.dictionaries(texts, values, max_size=5))
def test_any_json_object_comes_back_as_it_went(arguments: dict[str, Any]) -> None:
    assert json.loads(encode(arguments)) == arguments


@quick
@given(st.dictionaries(texts, values, max_size=5))
def test_a_custom_encoder_may_escape_what_it_likes(arguments: dict[str, Any]) -> None:
    assert json.loads(encode(arguments, dumps=json.dumps)) == arguments


@quick
@given(before=texts, after=texts)
def test_any_string_with_a_nul_is_refused(before: str, after: str) -> None:
    text = f"{before}\0{after}"
    for arguments in ({"a": text}, {"a": [{"b": text}]}, {"a": {text: 1}}, {text: 1}):
        for dumps in (None, json.dumps):
            assert "NUL" in str(refusal(arguments, dumps=dumps))


@pytest.mark.parametrize("text", ["\\u0000", "\\\\u0000", 'say "\\u0000"', "NaN", "{[{[" * 100])
def test_text_that_only_looks_suspicious_is_kept(text: str) -> None:
    assert json.loads(encode({"a": text, "b": [text]})) == {"a": text, "b": [text]}


def test_text_is_compact_and_not_escaped() -> None:
    assert encode({"to": "é😀", "n": [1, 2]}) == '{"to":"é😀","n":[1,2]}'


def test_tuples_become_arrays() -> None:
    assert encode({"point": (1, (2, 3))}) == '{"point":[1,[2,3]]}'


class Opaque:
    """Something that JSON knows nothing about."""


@pytest.mark.parametrize(
    ("arguments", "path"),
    [
        ({"to": {"address": ["a", "b", Opaque()]}}, "to.address[2]"),
        ({"when": datetime.datetime.now(tz=datetime.UTC)}, "when"),
        ({"raw": b"bytes"}, "raw"),
        ({"tags": {"a"}}, "tags"),
        ({"full name": {"first name": Opaque()}}, 'task_kwargs["full name"]["first name"]'),
        ({"x": math.nan}, "x"),
        ({"x": [math.inf]}, "x[0]"),
        ({"x": {"y": -math.inf}}, "x.y"),
        ({"x": "\ud800"}, "x"),
        ({"x": {"\udfff": 1}}, 'x["\\udfff"]'),
        ({"x": {1: 2}}, "x"),
        ({"x": [{None: 2}]}, "x[0]"),
        ({"x": 10**5000}, "x"),
        ({1: 2}, "task_kwargs"),
        ({None: 2}, "task_kwargs"),
        ([1, 2], "task_kwargs"),
        (None, "task_kwargs"),
        ("text", "task_kwargs"),
    ],
)
def test_what_cannot_be_stored_is_named_by_its_path(arguments: Any, path: str) -> None:
    error = refusal(arguments)
    assert error.argument == path
    assert str(error).startswith(f"{path}: ")


def test_messages_never_repeat_the_values() -> None:
    error = refusal({"password": ["hunter2", "hunter2\0"]})
    assert "hunter2" not in str(error)


def test_refusals_are_caught_as_value_and_type_errors_too() -> None:
    error = refusal({"x": Opaque()})
    assert isinstance(error, InvalidArgument)
    assert isinstance(error, ProcrastinateException)
    assert isinstance(error, ValueError)
    assert isinstance(error, TypeError)


def test_refusals_survive_pickling() -> None:
    error = pickle.loads(pickle.dumps(refusal({"x": Opaque()})))  # noqa: S301
    assert (type(error), error.argument) == (ArgumentsNotSerializable, "x")


def test_a_value_that_contains_itself_is_refused() -> None:
    loop: dict[str, Any] = {}
    loop["again"] = [loop]
    assert refusal({"x": loop}).argument == "x.again[0]"


def test_a_value_may_appear_twice() -> None:
    shared = {"a": 1}
    assert encode({"x": [shared, shared]}) == '{"x":[{"a":1},{"a":1}]}'


@pytest.mark.parametrize("depth", [DEPTH_MAX, DEPTH_MAX + 1, 900, 100_000])
def test_what_nests_too_deep_is_refused(depth: int) -> None:
    assert "deep" in str(refusal({"x": nested(depth)}))


def test_what_nests_as_deep_as_allowed_is_kept() -> None:
    arguments = {"x": nested(DEPTH_MAX - 1)}
    assert json.loads(encode(arguments)) == arguments


@pytest.mark.parametrize("letter", ["a", "é", "😀"])
def test_size_counts_utf8_bytes(letter: str) -> None:
    arguments = {"x": letter * 10}
    size = len(encode(arguments).encode())
    assert encode(arguments, bytes_max=size)
    with pytest.raises(ArgumentsTooLarge, match=f"{size} bytes") as refused:
        encode(arguments, bytes_max=size - 1)
    assert refused.value.argument == "task_kwargs"


def test_a_custom_encoder_stores_what_it_knows() -> None:
    day = datetime.date(2026, 1, 2)
    text = encode({"day": day}, dumps=lambda value: json.dumps(value, default=str))
    assert json.loads(text) == {"day": "2026-01-02"}


def test_a_custom_encoder_may_return_bytes() -> None:
    assert encode({"a": 1}, dumps=lambda value: json.dumps(value).encode()) == '{"a": 1}'


@pytest.mark.parametrize(
    "encoded",
    [
        '{"a":NaN}',
        '{"a":Infinity}',
        '{"a":"\\u0000"}',
        '{"a":"\\ud800"}',
        '{"a":"\0"}',
        "[1]",
        "null",
        "{",
        "",
        b"\xff",
        None,
        7,
    ],
)
def test_a_custom_encoder_is_not_trusted(encoded: Any) -> None:
    assert refusal({"a": 1}, dumps=lambda _: encoded)


def test_a_custom_encoder_has_the_same_limit() -> None:
    with pytest.raises(ArgumentsTooLarge):
        encode({"a": "x" * 100}, dumps=json.dumps, bytes_max=50)


def test_the_refusal_of_a_custom_encoder_is_the_cause() -> None:
    error = refusal({"a": Opaque()}, dumps=json.dumps)
    assert isinstance(error.__cause__, TypeError)


def test_postgresql_stores_whatever_is_accepted(empty_database_url: str) -> None:
    arguments = {
        "text": "".join(map(chr, [*range(1, 300), 0x2028, 0xFFFF, 0x1F600, 0x10FFFF])),
        "\\u0000": "\\u0000",
        "": {"": [True, False, None]},
        "numbers": [0, -1, 2**64, 10**4000, 1.5, 5e-324, 1e22],
        "deep": nested(DEPTH_MAX - 1),
    }
    with psycopg.connect(empty_database_url) as connection:
        row = connection.execute("select %s::jsonb", [encode(arguments)]).fetchone()
    assert row == (arguments,)


plain_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda children: (
        st.lists(children, max_size=3) | st.dictionaries(st.text(), children, max_size=3)
    ),
    max_leaves=6,
)
arguments_of_one = st.dictionaries(st.text(), plain_values, max_size=3)


class TestSeveralTogether:
    @given(st.lists(arguments_of_one, min_size=1, max_size=4), arguments_of_one)
    @settings(max_examples=200, deadline=None)
    def test_each_is_encoded_as_if_it_were_alone(
        self, batch: list[dict[str, Any]], common: dict[str, Any]
    ) -> None:
        try:
            alone = [encode({**common, **each}) for each in batch]
        except ArgumentsNotSerializable:
            with pytest.raises(ArgumentsNotSerializable):
                serialize_all(common, batch, bytes_max=10_000)
            return
        text = serialize_all(common, batch, bytes_max=10_000)
        assert text is not None
        assert json.loads(text) == [json.loads(one) for one in alone]

    @pytest.mark.parametrize("place", [0, 499, 500, 700])
    def test_the_one_that_is_wrong_is_found(self, place: int) -> None:
        batch: list[dict[str, Any]] = [{"n": number} for number in range(701)]
        batch[place] = {"n": math.nan}
        with pytest.raises(ArgumentsNotSerializable, match=r"^n: "):
            serialize_all({}, batch, bytes_max=1000)

    def test_the_limit_is_for_each_and_not_for_all(self) -> None:
        batch = [{"text": "x" * 80}] * 100
        assert json.loads(serialize_all({}, batch, bytes_max=100) or "") == batch
        with pytest.raises(ArgumentsTooLarge):
            serialize_all({}, [*batch, {"text": "x" * 100}], bytes_max=100)

    def test_what_is_too_long_for_one_value_is_left_to_another_way(self) -> None:
        batch = [{"text": "x" * 2**20}] * (ARRAY_CHARACTERS_MAX // 2**20 + 1)
        assert serialize_all({}, batch, bytes_max=2**21) is None

    def test_own_encoder_gets_each(self) -> None:
        seen: list[Any] = []

        def dumps(value: Any) -> str:
            seen.append(value)
            return json.dumps(value)

        text = serialize_all({"a": 1}, [{"b": 2}, {"b": 3}], bytes_max=100, dumps=dumps)
        assert json.loads(text or "") == seen == [{"a": 1, "b": 2}, {"a": 1, "b": 3}]
