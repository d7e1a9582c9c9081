"""The real `forthwith` command on a terminal of its own, as somebody at the keys has it."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import termios
import threading
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Self

from tests.cli.command_line import DEADLINE_S, command
from tests.support.waiting import wait_until_sync

if TYPE_CHECKING:
    from collections.abc import Callable

_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]|\x1b[()][A-Z0-9]|\x1b[=>]")
_HOME = "\x1b[H"
_END = b"\0the end"


class PtySession:
    """A command that runs on a terminal of some size; used as `with PtySession(...) as session`."""

    def __init__(
        self,
        directory: Path,
        environment: dict[str, str],
        *arguments: object,
        columns: int = 120,
        rows: int = 40,
    ) -> None:
        self._ours, self._theirs = pty.openpty()
        self.resize(columns, rows)
        self.settings_before = termios.tcgetattr(self._theirs)
        unset = {"COLUMNS", "LINES", "NO_COLOR"}
        inherited = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith("FORTHWITH_") and name not in unset
        }
        self._process = subprocess.Popen(
            command(*arguments),
            cwd=directory,
            env=inherited | {"TERM": "xterm-256color"} | environment,
            # The terminal controls it: Ctrl-C and the end of the terminal reach it.
            preexec_fn=partial(os.login_tty, self._theirs),
        )
        self._written = bytearray()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._theirs)
        self._reader.join(DEADLINE_S)
        os.close(self._ours)

    @property
    def written(self) -> str:
        """All that it has written, with its escape sequences."""
        return bytes(self._written).removesuffix(_END).decode(errors="replace")

    @property
    def text(self) -> str:
        """What it has written, without escape sequences."""
        return _ESCAPES.sub("", self.written)

    @property
    def screen(self) -> str:
        """The last picture that was drawn as a whole."""
        pictures = self.written.split(_HOME)
        return _ESCAPES.sub("", pictures[-2] if len(pictures) > 1 else pictures[-1])

    @property
    def settings(self) -> list[int | list[bytes | int]]:
        """How the terminal is set now."""
        return termios.tcgetattr(self._theirs)

    def press(self, keys: str) -> None:
        """Press keys."""
        os.write(self._ours, keys.encode())

    def resize(self, columns: int, rows: int) -> None:
        """Make the terminal this large."""
        fcntl.ioctl(self._theirs, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def wait_for(self, text: str) -> None:
        """Wait until it has written this."""
        wait_until_sync(lambda: self._has(lambda: text in self.text), deadline_s=DEADLINE_S)

    def wait_for_screen(self, *, has: str = "", lacks: str | None = None) -> None:
        """Wait until a picture has one text and lacks the other."""

        def fits() -> bool:
            shown = self.screen
            return has in shown and (lacks is None or lacks not in shown)

        wait_until_sync(lambda: self._has(fits), deadline_s=DEADLINE_S)

    def wait_until_stopped(self) -> None:
        """Wait until it has been stopped, as by Ctrl-Z."""
        stat = Path(f"/proc/{self._process.pid}/stat")

        def is_stopped() -> bool:
            return stat.read_text("utf-8").rpartition(")")[2].split()[0] == "T"

        wait_until_sync(lambda: self._has(is_stopped), deadline_s=DEADLINE_S)

    def go_on(self) -> None:
        """Let it go on, as the shell's `fg` does."""
        self._process.send_signal(signal.SIGCONT)

    def wait(self) -> int:
        """Wait until it ends, and all that it has written has been read; return its exit code."""
        code = self._process.wait(DEADLINE_S)
        self._read_to_the_end()
        return code

    def _has(self, fact: Callable[[], bool]) -> bool:
        has_ended = self._process.poll() is not None  # before the look: what comes after is the end
        if has_ended:
            self._read_to_the_end()
        if fact():
            return True
        assert not has_ended, f"ended with {self._process.returncode}: {self.text}"
        return False

    def _read_to_the_end(self) -> None:
        """Wait until what the process wrote before its end has been read.

        The reader may lag behind. What we write to the terminal now comes after all of that.
        """
        if not self._written.endswith(_END):
            os.write(self._theirs, _END)
            wait_until_sync(lambda: self._written.endswith(_END), deadline_s=DEADLINE_S)

    def _read(self) -> None:
        while True:
            try:
                read = os.read(self._ours, 65536)
            except OSError:
                return
            if not read:
                return
            self._written += read
