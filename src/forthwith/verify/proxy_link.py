"""One client's connection through the proxy, and the server's behind it."""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
from contextlib import suppress
from typing import TYPE_CHECKING

from forthwith.verify.wire import (
    STARTUP_BYTES_MAX,
    Conversation,
    Frames,
    Request,
    application_name_of,
    code_of,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from forthwith.verify.proxy import Faults

    Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]

logger = logging.getLogger(__name__)

CHUNK_BYTES = 65_536
TLS_HANDSHAKE = 0x16
RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class Link:
    """Carries bytes both ways, under the faults that go on."""

    def __init__(
        self,
        faults: Faults,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        connect: Callable[[], Awaitable[Streams]],
    ) -> None:
        self._faults = faults
        self._reader = reader
        self._writer = writer
        self._connect = connect
        self._writers = [writer]
        self._carrying: asyncio.Task[None] | None = None
        self._conversation = Conversation(lambda sql: faults.takes_reply(self.client, sql))
        self._has_lost_bytes = False
        self.is_cut = False
        """Whether both sides are broken, by a fault."""
        self.client = ""
        """The client's application_name; empty until it has said so."""
        self.ended = asyncio.Event()

    async def run(self) -> None:
        """Carry until one side closes, or the link is closed from here."""
        self._carrying = asyncio.create_task(self._carry())
        try:
            await asyncio.wait({self._carrying})
        finally:
            self._carrying.cancel()
            [error] = await asyncio.gather(self._carrying, return_exceptions=True)
            if isinstance(error, Exception):
                logger.error("A connection through the proxy failed: %r", error)
            for writer in self._writers:
                writer.close()
            for writer in self._writers:
                with suppress(OSError):
                    await writer.wait_closed()
            self.ended.set()

    def close(self) -> None:
        """Close both sides."""
        if self._carrying is not None:
            self._carrying.cancel()

    def cut(self) -> bool:
        """Break both sides by a reset. False: they are broken already."""
        if self.is_cut:
            return False
        self.is_cut = True
        self._faults.counters.connections_cut += 1
        for writer in self._writers:
            self._reset(writer)
        self.close()
        return True

    def swallow(self, data: bytes) -> bool:
        """Lose these bytes, if that is this client's fate now. Whoever has lost some is dead."""
        if data and (self._has_lost_bytes or self._faults.silences(self.client)):
            self._has_lost_bytes = True
            self._faults.counters.bytes_swallowed += len(data)
            return True
        return False

    async def audible(self) -> None:
        """Wait until others could learn that one side has closed."""
        while self._faults.silences(self.client):
            await self._faults.restored.wait()

    # -- the beginning ------------------------------------------------------------------------------

    async def _carry(self) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            await self._introduce()

    async def _introduce(self) -> None:
        server: Streams | None = None
        while True:
            packet = await self._first_packet()
            code = 0 if _is_tls(packet) else code_of(packet)
            if code not in tuple(Request) and code:
                self.client = application_name_of(packet)
            if self.swallow(packet):
                await self._swallow_all()
                return
            server = server or await self._reached()
            await _sent(server[1], packet, self._faults.delay_s)
            if code not in (Request.TLS, Request.GSS):
                await self._converse(server, is_readable=code not in (0, Request.CANCEL))
                return
            answer = await server[0].readexactly(1)
            await _sent(self._writer, answer, self._faults.delay_s)
            if answer != b"N":
                await self._converse(server, is_readable=False)
                return

    async def _first_packet(self) -> bytes:
        header = await self._reader.readexactly(4)
        if _is_tls(header):
            return header
        (length,) = struct.unpack("!i", header)
        if not 8 <= length <= STARTUP_BYTES_MAX:
            raise OSError("this is not PostgreSQL's protocol")
        return header + await self._reader.readexactly(length - 4)

    async def _swallow_all(self) -> None:
        while data := await self._reader.read(CHUNK_BYTES):
            self.swallow(data)

    async def _reached(self) -> Streams:
        try:
            server = await self._connect()
        except OSError:
            self._reset(self._writer)
            raise
        self._writers.append(server[1])
        return server

    # -- the rest -----------------------------------------------------------------------------------

    async def _converse(self, server: Streams, *, is_readable: bool) -> None:
        reader, writer = server
        to_server = Outlet(writer, self)
        to_client = Outlet(self._writer, self)
        ask, hear = (self._asked, self._heard) if is_readable else (_unread, _unread)
        tasks = [
            asyncio.create_task(work)
            for work in (
                to_server.run(),
                to_client.run(),
                self._pump(self._reader, to_server, ask),
                self._pump(reader, to_client, hear),
            )
        ]
        try:  # an outlet ends when its side's other side has closed
            await asyncio.wait(tasks[:2], return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _pump(
        self,
        source: asyncio.StreamReader,
        outlet: Outlet,
        note: Callable[[Frames, bytes], bytes],
    ) -> None:
        frames = Frames()
        try:
            while data := await source.read(CHUNK_BYTES):
                if passed := note(frames, data):
                    await outlet.put(passed, self._faults.delay_s)
        except OSError:
            pass
        await outlet.put(b"", self._faults.delay_s)

    def _asked(self, frames: Frames, data: bytes) -> bytes:
        messages = list(frames.feed(data))
        for message in messages:
            self._conversation.ask(message)
        return b"".join(messages)

    def _heard(self, frames: Frames, data: bytes) -> bytes:
        passed = []
        for message in frames.feed(data):
            is_lost, is_end = self._conversation.hear(message)
            if is_end:
                self._faults.counters.replies_lost += 1
                self.cut()
            if is_lost:
                continue
            passed.append(message)
        return b"".join(passed)

    def _reset(self, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            writer.get_extra_info("socket").setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE
            )
        writer.transport.abort()


class Outlet:
    """Writes to one side, in order, each piece when its delay is over."""

    def __init__(self, writer: asyncio.StreamWriter, link: Link) -> None:
        self._writer = writer
        self._link = link
        self._pieces: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(maxsize=256)

    async def put(self, data: bytes, delay_s: float) -> None:
        """Write this after so many seconds. Nothing (b"") is the end."""
        await self._pieces.put((asyncio.get_running_loop().time() + delay_s, data))

    async def run(self) -> None:
        """Write until the end."""
        while True:
            due_s, data = await self._pieces.get()
            wait_s = due_s - asyncio.get_running_loop().time()
            if wait_s > 0:
                await asyncio.sleep(wait_s)
            if not data:
                await self._link.audible()
                return
            if not self._link.swallow(data):
                self._writer.write(data)
                with suppress(OSError):
                    await self._writer.drain()


def _is_tls(packet: bytes) -> bool:
    return packet[0] == TLS_HANDSHAKE


def _unread(_frames: Frames, data: bytes) -> bytes:
    return data


async def _sent(writer: asyncio.StreamWriter, data: bytes, delay_s: float) -> None:
    await asyncio.sleep(delay_s)
    writer.write(data)
    await writer.drain()
