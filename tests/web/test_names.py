"""A name comes back from a form as it went in, whatever a browser does to line ends."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from forthwith.web.pages import names
from forthwith.web.pages.job_query import fields_of, filter_of
from forthwith.web.pages.layout import address

ANY_NAME = st.text(
    st.characters(exclude_categories=("Cs",), exclude_characters="\0"), min_size=1, max_size=100
)


@given(st.text())
@example("a\nb")
@example('"quoted"')
@example(" led and trailed ")
@example("null")
def test_names_come_back(name: str) -> None:
    field = names.written(name)
    assert field.isprintable(), "no line end is in it that a browser could rewrite"
    assert names.read(field) == name


@pytest.mark.parametrize("name", ["mail", "a/b?c#", "größe", "<script>", "a b", "'"])
def test_plain_names_are_written_as_they_are(name: str) -> None:
    assert names.written(name) == name


@pytest.mark.parametrize("field", ['"', '"half', '"a" b', '"a"b"'])
def test_what_is_no_quoted_name_is_a_name(field: str) -> None:
    assert names.read(field) == field


@given(ANY_NAME, ANY_NAME)
@example("a\r\nb", '"c"')
def test_filters_come_back_from_addresses(queue: str, lock: str) -> None:
    asked = filter_of({"queue": names.written(queue), "lock": names.written(lock)})
    assert (asked.queue, asked.lock) == (queue, lock)
    query = urlsplit(address("", "/jobs", fields_of(asked))).query
    fields = {name: values[0] for name, values in parse_qs(query).items()}
    assert filter_of(fields) == asked
