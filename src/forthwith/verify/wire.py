"""As much of PostgreSQL's protocol as it takes to know who speaks, and which answer belongs to what."""

from __future__ import annotations

import struct
from collections import deque
from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

STARTUP_BYTES_MAX = 10_000
READY_FOR_QUERY = b"Z"


class Request(IntEnum):
    """What a connection may begin with instead of a startup message."""

    CANCEL = 80877102
    TLS = 80877103
    GSS = 80877104


def code_of(packet: bytes) -> int:
    """Return the protocol version, or the `Request`, of a connection's first packet."""
    (code,) = struct.unpack_from("!i", packet, 4)
    return int(code)


def application_name_of(startup: bytes) -> str:
    """Return the application_name in a startup message, or an empty string."""
    words = startup[8:].split(b"\0")
    parameters = dict(zip(words[::2], words[1::2], strict=False))
    return parameters.get(b"application_name", b"").decode(errors="replace")


class Frames:
    """Cuts a stream into whole messages, header included."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Add bytes; yield the messages that are complete now."""
        self._buffer += data
        while len(self._buffer) >= 5:
            (length,) = struct.unpack_from("!i", self._buffer, 1)
            if len(self._buffer) <= length:
                return
            yield bytes(self._buffer[: length + 1])
            del self._buffer[: length + 1]


@dataclass(slots=True)
class Conversation:
    """What a client has asked and the server has not answered yet.

    The server says once for each query, and for each Sync, that it is ready for the next. By counting
    these, every message of its belongs to one question.
    """

    wants_lost: Callable[[str], bool]
    """Asked once for each question, with its SQL: shall the answer be lost?"""
    _statements: dict[bytes, str] = field(default_factory=dict)
    _portals: dict[bytes, str] = field(default_factory=dict)
    _asked: list[str] = field(default_factory=list)
    # Whether each answer that is to come shall be lost. The first is that of the startup.
    _loses: deque[bool] = field(default_factory=lambda: deque([False]))

    def ask(self, message: bytes) -> None:
        """Take note of a message of the client, before the server gets it."""
        kind, body = message[:1], message[5:]
        match kind:
            case b"Q":
                self._asked.append(_text(body))
                self._end_question()
            case b"P":
                name, query = body.split(b"\0")[:2]
                self._statements[name] = _text(query)
            case b"B":
                portal, name = body.split(b"\0")[:2]
                self._portals[portal] = self._statements.get(name, "")
            case b"E":
                self._asked.append(self._portals.get(body.split(b"\0")[0], ""))
            case b"S" | b"F":
                self._end_question()
            case _:
                pass

    def hear(self, message: bytes) -> tuple[bool, bool]:
        """Take note of a message of the server.

        Returns whether it belongs to an answer to be lost, and whether it ends that answer.
        """
        loses = bool(self._loses) and self._loses[0]
        if message[:1] == READY_FOR_QUERY and self._loses:
            self._loses.popleft()
            return loses, loses
        return loses, False

    def _end_question(self) -> None:
        self._loses.append(self.wants_lost("\n".join(self._asked)))
        self._asked.clear()


def _text(data: bytes) -> str:
    return data.rstrip(b"\0").decode(errors="replace")
