"""A terminal that is drawn on as a whole, listens for keys, and is left as it was."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import termios
import tty
from contextlib import suppress
from typing import TYPE_CHECKING, Self

from rich.live import Live

from forthwith.cli.top.screen import Size

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

_LEAVING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Terminal:
    """Used as `with Terminal(console) as terminal`, inside an event loop."""

    def __init__(self, console: Console) -> None:
        self.is_over = False
        """Whether `q` or a signal has asked to leave."""
        self._console = console
        self._woken = asyncio.Event()
        self._live = Live(
            console=console,
            screen=True,
            auto_refresh=False,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._settings: list[int | list[bytes | int]] | None = None

    def __enter__(self) -> Self:
        # A log line would tear the screen; what it would say, the view says.
        logging.disable(logging.CRITICAL)
        loop = asyncio.get_running_loop()
        for number in _LEAVING:
            loop.add_signal_handler(number, self.leave)
        loop.add_signal_handler(signal.SIGWINCH, self.wake)
        loop.add_signal_handler(signal.SIGTSTP, self._suspend)
        if sys.stdin.isatty():
            self._settings = termios.tcgetattr(sys.stdin)
            loop.add_reader(sys.stdin, self._read_keys)
        self._take()
        return self

    def __exit__(self, *_: object) -> None:
        loop = asyncio.get_running_loop()
        self._give_back()
        loop.remove_reader(sys.stdin)
        for number in (*_LEAVING, signal.SIGWINCH, signal.SIGTSTP):
            loop.remove_signal_handler(number)
        logging.disable(logging.NOTSET)

    @property
    def size(self) -> Size:
        """How large it is now."""
        return Size(self._console.width, self._console.height)

    def draw(self, picture: RenderableType) -> None:
        """Show this instead of what is shown."""
        self._live.update(picture, refresh=True)

    async def wait(self, for_s: float) -> None:
        """Wait until it is woken, at the most for so long."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._woken.wait(), for_s)
        self._woken.clear()

    def wake(self) -> None:
        """Have it drawn again."""
        self._woken.set()

    def leave(self) -> None:
        """Have it left."""
        self.is_over = True
        self.wake()

    def _take(self) -> None:
        if self._settings is not None:
            with suppress(termios.error):  # the terminal may be gone
                tty.setcbreak(sys.stdin)
        self._live.start()

    def _give_back(self) -> None:
        self._live.stop()
        if self._settings is not None:
            with suppress(termios.error):
                termios.tcsetattr(sys.stdin, termios.TCSADRAIN, self._settings)

    def _suspend(self) -> None:
        # Ctrl-Z: the shell gets its terminal back, and we go on from here when it lets us.
        self._give_back()
        os.kill(os.getpid(), signal.SIGSTOP)
        self._take()
        self.wake()

    def _read_keys(self) -> None:
        try:
            keys = os.read(sys.stdin.fileno(), 64)
        except OSError:
            keys = b""
        if not keys or b"q" in keys.lower():
            self.leave()
