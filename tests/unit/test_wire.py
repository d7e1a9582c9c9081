"""The proxy's knowledge of PostgreSQL's protocol."""

from __future__ import annotations

import struct

import pytest

from forthwith.verify.wire import Conversation, Frames, Request, application_name_of, code_of


def message(kind: str, *words: str) -> bytes:
    """Return a message of the protocol with some strings in it."""
    body = b"".join(word.encode() + b"\0" for word in words)
    return kind.encode() + struct.pack("!i", len(body) + 4) + body


READY = b"Z\0\0\0\5I"
ROW = message("D", "a row")


def started(*, losing: str) -> Conversation:
    """Return a conversation after its startup, in which answers to what contains this are lost."""
    conversation = Conversation(lambda sql: losing in sql)
    assert conversation.hear(READY) == (False, False)
    return conversation


def test_startup_message_tells_the_application_name() -> None:
    words = b"user\0me\0application_name\0w\xc3\xb6rker\0\0"
    startup = struct.pack("!ii", 8 + len(words), 196608) + words
    assert code_of(startup) == 196608
    assert application_name_of(startup) == "wörker"
    assert application_name_of(startup[:8] + b"user\0me\0\0") == ""


def test_tls_request_is_no_startup() -> None:
    assert code_of(struct.pack("!ii", 8, 80877103)) == Request.TLS


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
def test_messages_are_whole_however_the_stream_is_cut(size: int) -> None:
    messages = [message("Q", "select 1"), READY, message("D", "x" * 500)]
    stream = b"".join(messages)
    frames = Frames()
    pieces = [stream[start : start + size] for start in range(0, len(stream), size)]
    assert [whole for piece in pieces for whole in frames.feed(piece)] == messages


def test_answer_of_a_simple_query_is_lost_to_its_end() -> None:
    conversation = started(losing="commit")
    conversation.ask(message("Q", "select 1"))
    conversation.ask(message("Q", "commit"))
    assert conversation.hear(ROW) == (False, False)
    assert conversation.hear(READY) == (False, False)
    assert conversation.hear(ROW) == (True, False)
    assert conversation.hear(READY) == (True, True)


def test_prepared_statement_is_known_by_its_name() -> None:
    conversation = started(losing="insert")
    conversation.ask(message("P", "one", "insert into t"))
    conversation.ask(message("P", "two", "select 2"))
    conversation.ask(message("S"))
    assert conversation.hear(READY) == (False, False)  # parsed, not run

    for name, is_lost in (("two", False), ("one", True)):
        conversation.ask(message("B", "", name))
        conversation.ask(message("E", ""))
        conversation.ask(message("S"))
        assert conversation.hear(READY) == (is_lost, is_lost)


def test_pipeline_loses_the_answer_up_to_its_sync() -> None:
    conversation = started(losing="two")
    for query in ("one", "two"):
        conversation.ask(message("P", "", query))
        conversation.ask(message("B", "", ""))
        conversation.ask(message("E", ""))
    conversation.ask(message("S"))
    assert conversation.hear(ROW) == (True, False)
    assert conversation.hear(READY) == (True, True)
