"""Connections that notice when the database has fallen silent.

A connection may be dead without a sign: packets vanish, while a proxy or a load balancer in between
goes on acknowledging them, so that the kernel has nothing to complain about.
"""

from __future__ import annotations

import asyncio
import logging
import os
import select
import socket
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg.pq import TransactionStatus
from psycopg.waiting import wait_async

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from psycopg.abc import RV, PQGen

logger = logging.getLogger(__name__)

ANSWER_LIMIT_S = 20.0
CANCEL_LIMIT_S = 0.5
# How often psycopg looks whether the socket is still there: for an answer as by its own default, and seldom
# for notifications. Hanging up wakes whoever waits anyway.
WAIT_INTERVAL_S = 0.1
NOTIFICATION_INTERVAL_S = 5.0


class WatchedConnection(psycopg.AsyncConnection[Any]):
    """Acts when a statement has had no answer for `silence_s` seconds."""

    silence_s = ANSWER_LIMIT_S
    _alarm: asyncio.TimerHandle

    async def wait(self, gen: PQGen[RV], *args: Any, **kwargs: Any) -> RV:
        """Wait for an answer. Every operation of psycopg's goes through here."""
        self._set_alarm()
        try:
            return await self._answer(gen, *args, **kwargs)
        finally:
            self._alarm.cancel()

    def hang_up(self) -> None:
        """Shut the connection down under whoever waits for an answer: that ends with an error.

        Closing it would take the socket away from under the event loop.
        """
        with (
            suppress(OSError, psycopg.OperationalError),
            socket.socket(fileno=os.dup(self.pgconn.socket)) as twin,
        ):
            twin.shutdown(socket.SHUT_RDWR)

    @property
    def awaits_answer(self) -> bool:
        """Whether a statement was sent whose answer has not come: not so while it only listens."""
        return self.pgconn.transaction_status == TransactionStatus.ACTIVE

    async def _answer(self, gen: PQGen[RV], *args: Any, **kwargs: Any) -> RV:
        return await super().wait(gen, *args, **kwargs)

    def _fell_silent(self) -> None:
        raise NotImplementedError

    def _set_alarm(self) -> None:
        self._alarm = asyncio.get_running_loop().call_later(self.silence_s, self._ring)

    def _ring(self) -> None:
        # A blocked event loop finds the answer and the alarm at the same time.
        if self.awaits_answer and not _is_readable(self.pgconn.socket):
            self._fell_silent()
        else:
            self._set_alarm()


class LineConnection(WatchedConnection):
    """For statements that are short by nature: no answer in time means that none will come."""

    async def _answer(self, gen: PQGen[RV], *args: Any, **kwargs: Any) -> RV:
        # As psycopg does it, but for one thing: a cancelled wait ends at once. psycopg would ask the
        # server to cancel, and wait up to ten seconds for what it says. A line drops the connection.
        if not args:
            is_answer = "timeout" not in kwargs
            kwargs.setdefault("interval", WAIT_INTERVAL_S if is_answer else NOTIFICATION_INTERVAL_S)
        try:
            return await wait_async(gen, self.pgconn.socket, *args, **kwargs)
        except asyncio.CancelledError:
            if self.awaits_answer:
                self.pgconn.finish()
            raise

    def _fell_silent(self) -> None:
        logger.warning("No answer from the database for %g s, hanging up", self.silence_s)
        self.hang_up()


class PooledConnection(WatchedConnection):
    """For statements of users, which may be long: after some silence, somebody asks about it."""

    silence_s = 15.0
    is_alive: Callable[[], Awaitable[bool]] | None = None
    """Whether the server is still at what this connection waits for."""
    _asking: asyncio.Task[None] | None = None

    async def cancel_safe(self, *, timeout: float = 30.0) -> None:
        """Ask the server to cancel; if that cannot be done at once, hang up.

        psycopg does this when a task is cancelled that waits for an answer.
        """
        try:
            await super().cancel_safe(timeout=min(timeout, CANCEL_LIMIT_S))
        except psycopg.Error:
            self.hang_up()
            raise

    async def _answer(self, gen: PQGen[RV], *args: Any, **kwargs: Any) -> RV:
        try:
            return await super()._answer(gen, *args, **kwargs)
        finally:
            if self._asking is not None:
                self._asking.cancel()
                self._asking = None

    def _fell_silent(self) -> None:
        if self.is_alive is not None:
            self._asking = asyncio.create_task(self._ask(self.is_alive), name="inquiry")

    async def _ask(self, is_alive: Callable[[], Awaitable[bool]]) -> None:
        if await is_alive():
            self._set_alarm()
        else:
            logger.warning("A statement has no answer, and nobody works on it: hanging up")
            self.hang_up()


def _is_readable(descriptor: int) -> bool:
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(0))
