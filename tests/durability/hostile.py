"""Values that a queue should never be given, and is: exceptions, results, strings, arguments."""

# ruff: noqa: N818 -- exceptions named by what is odd about them
from __future__ import annotations

import asyncio
import datetime
import decimal
import math
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

from forthwith.errors import JobAborted, LeaseLost

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Unspeakable(Exception):
    """Fails whenever it is looked at."""

    def __str__(self) -> str:
        raise ValueError("no text")

    __repr__ = __str__


class ExitsWhenRead(Exception):
    """Ends the program of who reads it."""

    def __str__(self) -> str:
        raise SystemExit(3)


class LyingText(str):
    """Says that it is short and clean."""

    __slots__ = ()

    def __len__(self) -> int:
        return 3

    def __contains__(self, part: object) -> bool:
        return False

    def isascii(self) -> bool:
        """Say so."""
        return True

    def replace(self, *_: Any) -> str:  # type: ignore[override]
        """Replace nothing."""
        return self

    def encode(self, *_: Any) -> bytes:  # type: ignore[override]
        """Encode nothing."""
        return b""


class Liar(Exception):
    """Has a lying text."""

    def __str__(self) -> str:
        return LyingText("\0" * 20_000)


class EndlessCauses(Exception):
    """Has a new cause each time it is asked."""

    @property
    def __cause__(self) -> BaseException:  # type: ignore[override]
        return EndlessCauses("again")


class Unreadable(Exception):
    """Has no attributes that can be read."""

    def __getattribute__(self, name: str) -> Any:
        raise SystemExit(name)


class Undecided(Exception):
    """Is nothing for certain: neither true, nor equal, nor hashable."""

    def __bool__(self) -> bool:
        raise ValueError

    def __eq__(self, other: object) -> bool:
        raise ValueError

    def __hash__(self) -> int:
        raise ValueError


class Disguised(Exception):
    """Says that it is a request to abort."""

    @property
    def __class__(self) -> Any:
        return JobAborted


class Faceless(Exception):
    """Does not say what it is."""

    @property
    def __class__(self) -> Any:
        raise SystemExit


class Unpicklable(Exception):
    """Cannot be taken to pieces."""

    def __reduce__(self) -> Any:
        raise ValueError


class Deep(BaseException):
    """Is no `Exception`."""


class Nameless(type):
    """A metaclass whose classes' names are numbers."""

    def __getattribute__(cls, name: str) -> Any:
        return 7 if name in ("__name__", "__qualname__") else super().__getattribute__(name)


class FromNowhere(Exception, metaclass=Nameless):
    """Its class has no name."""


Numbered: Any = type("Numbered", (Exception,), {"__module__": 7})
WithNul: Any = type("WithNul", (Exception,), {"__qualname__": "With\0\ud800Nul"})


class OddNotes(Exception):
    """Has notes that are none."""

    __notes__ = 7


def long_chain(links: int) -> Exception:
    """Return an exception with that many causes, one behind the other."""
    error = Exception("the last")
    link = error
    for number in range(links):
        link.__cause__ = Exception(f"link {number}")
        link = link.__cause__
    return error


def cycle() -> Exception:
    """Return an exception that is the cause of its own cause."""
    one, other = ValueError("one"), KeyError("other")
    one.__cause__, other.__cause__ = other, one
    return one


def deep_group(depth: int) -> Exception:
    """Return a group in a group in a group."""
    error: Exception = ValueError("the innermost")
    for _ in range(depth):
        error = ExceptionGroup("group", [error])
    return error


def recurse() -> BaseException:
    """Raise a RecursionError."""
    return recurse()


EXCEPTIONS: dict[str, Callable[[], BaseException]] = {
    "NUL": lambda: ValueError("a\0b"),
    "lone surrogate": lambda: ValueError("a\ud800b"),
    "all of Unicode's oddities": lambda: ValueError("\u202e\u2028\x1b[2J\r\n%s {} \\u0000 '; --"),
    "20 MB": lambda: ValueError("x\n" * 10_000_000),
    "no text": Unspeakable,
    "exits when read": ExitsWhenRead,
    "lying text": Liar,
    "long chain": lambda: long_chain(20_000),
    "cycle": cycle,
    "endless causes": EndlessCauses,
    "unreadable": Unreadable,
    "undecided": Undecided,
    "disguised": Disguised,
    "faceless": Faceless,
    "unpicklable": Unpicklable,
    "BaseException": Deep,
    "nameless class": FromNowhere,
    "numbered module": lambda: Numbered("from module 7"),
    "name with NUL": lambda: WithNul("what a name"),
    "odd notes": OddNotes,
    "group": lambda: ExceptionGroup("\0", [ValueError("\0"), Unspeakable()]),
    "deep group": lambda: deep_group(3_000),
    "wide group": lambda: ExceptionGroup("wide", [ValueError(str(n)) for n in range(5_000)]),
    "group of the worst": lambda: BaseExceptionGroup("worst", [SystemExit(), GeneratorExit()]),
    "recursion": recurse,
    "MemoryError": MemoryError,
    "StopIteration": lambda: StopIteration(7),
    "StopAsyncIteration": StopAsyncIteration,
    "GeneratorExit": GeneratorExit,
    "KeyboardInterrupt": KeyboardInterrupt,
    "SystemExit": lambda: SystemExit(0),
    "LeaseLost": LeaseLost,
    "TimeoutError": TimeoutError,
    "UnicodeDecodeError": lambda: UnicodeDecodeError("utf-8", b"\xff", 0, 1, "no"),
    "SyntaxError": lambda: SyntaxError("\0", ("\0", 1, 1, "\ud800")),
}
"""What tasks raise, and shall end as failed."""

ABORTS: dict[str, Callable[[], BaseException]] = {
    "CancelledError": asyncio.CancelledError,
    "JobAborted": JobAborted,
}
"""What tasks raise, and shall end as aborted."""


class Faceted:
    """A result that does not say what it is."""

    @property
    def __class__(self) -> Any:
        raise SystemExit


def generator() -> Iterator[int]:
    """Yield something."""
    yield 1


RESULTS: dict[str, Callable[[], Any]] = {
    "returned Ellipsis": lambda: ...,
    "returned exception": lambda: ValueError("returned, not raised"),
    "returned StopIteration": lambda: StopIteration(3),
    "returned exception class": lambda: ValueError,
    "returned generator": generator,
    "returned tuple": lambda: (1, 2, 3),
    "returned NaN": lambda: math.nan,
    "returned cycle": lambda: (lambda loop: loop.append(loop) or loop)([]),  # type: ignore[func-returns-value]
    "returned faceless": Faceted,
    "returned NUL": lambda: "\0",
    "returned lambda": lambda: lambda: 1 / 0,
    "returned 20 MB": lambda: "x" * 20_000_000,
}
"""What tasks return: nobody looks at it."""


class LyingDict(dict[str, Any]):
    """Shows other members each time."""

    def items(self) -> Any:
        """Raise."""
        raise KeyError("lost")


class Unprintable:
    """Cannot be shown, compared or hashed."""

    def __repr__(self) -> str:
        raise ValueError

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        raise ValueError

    def __hash__(self) -> int:
        raise ValueError


class Pretender:
    """Says that it is a dict."""

    @property
    def __class__(self) -> Any:
        return dict


class TwoFaced(dict[str, Any]):
    """Shows one thing to the encoder, and another to who looks after it."""

    def __init__(self, *faces: dict[str, Any]) -> None:
        super().__init__({"a": 1})
        self._faces = list(faces)

    def items(self) -> Any:
        """Show the next face."""
        return (self._faces.pop(0) if len(self._faces) > 1 else self._faces[0]).items()


def cyclic_list() -> list[Any]:
    """Return a list that contains itself."""
    loop: list[Any] = []
    loop.append(loop)
    return loop


def nested(depth: int) -> list[Any]:
    """Return a list in a list in a list."""
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


REFUSED: dict[str, Callable[[], Any]] = {
    "NUL": lambda: "\0",
    "NUL in a lying string": lambda: LyingText("\0"),
    "surrogate": lambda: "\ud800",
    "surrogate in a lying string": lambda: LyingText("\ud800"),
    "NaN": lambda: math.nan,
    "infinity": lambda: -math.inf,
    "too many digits": lambda: 10**5000,
    "bytes": lambda: b"bytes",
    "Decimal": lambda: decimal.Decimal(1),
    "datetime": lambda: datetime.datetime.now(datetime.UTC),
    "complex": lambda: 1j,
    "set": lambda: {1},
    "generator": generator,
    "range": lambda: range(3),
    "function": lambda: print,
    "class": lambda: int,
    "unprintable": Unprintable,
    "pretender": Pretender,
    "lying dict": lambda: LyingDict(a=1),
    "two-faced dict": lambda: TwoFaced({"a": "\0"}, {"a": 1}),
    "two-faced and deep": lambda: TwoFaced({"a": nested(900)}, {"a": 1}),
    "keys that collide": lambda: {1: "one", "1": "other"},
    "None as key": lambda: {None: 1},
    "NUL in a key": lambda: {"\0": 1},
    "tuple as key": lambda: {(1, 2): 1},
    "cycle": cyclic_list,
    "deep": lambda: nested(900),
    "deeper than the stack": lambda: nested(100_000),
}
"""Arguments that cannot be stored."""

names = st.sampled_from(
    [
        "😀" * 128,
        "مرحبا بالعالم",
        "\u202eright to left",
        "line\nbreak\r\n",
        "tab\t",
        "%s %(name)s %%",
        "{} {0} {name!r}",
        "'; drop table forthwith.job; --",
        '"quoted" \\ $$',
        "x" * 63,
        "x" * 64,
        "é" * 64,
        " ",
        "\x01\x1b[31m",
        "null",
        "NULL",
        "{a,b}",
        ":colon queue:x",
    ]
) | st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=128
)
"""Names that PostgreSQL can hold, however odd."""

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
numbers = (
    st.integers(-(10**400), 10**400)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from([-0.0, 1e16, 1e22, 1e23, 1e308, -1e308, 5e-324, 2**53 + 1, 10**4000])
)
leaves = (
    st.none() | st.booleans() | numbers | texts | st.sampled_from(["1e+16", '"1e+16', "\\u0000"])
)
values = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(texts, inner, max_size=5),
    max_leaves=10,
)
"""Values that JSON can hold, however odd."""
arguments = st.dictionaries(texts.filter(lambda key: len(key) < 50), values, max_size=5)
"""Keyword arguments."""
