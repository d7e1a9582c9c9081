"""Every way in which a run of a job can end, as values. The runner makes them, the completer records them."""

from __future__ import annotations

import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from forthwith.options import class_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime
    from types import CodeType, TracebackType

    from forthwith.job import AttemptKind, ClaimedJob

MESSAGE_CHARACTERS_MAX = 10_000
TRACEBACK_CHARACTERS_MAX = 100_000
EXCEPTIONS_MAX = 1000
"""Of how many exceptions, linked by cause, context or group, Python itself makes the traceback."""
LINKS_MAX = 20
"""How many of a longer chain are kept."""
PARTS_MAX = 15
"""How many of a larger group are kept, as Python does."""
_ENGINE = Path(__file__).with_name("engine")
OWN_FILES = frozenset(str(_ENGINE / f"{name}.py") for name in ("runner", "execution", "isolation"))
"""Whose frames every failure has on top: a traceback begins below them, with the user's code."""


class Failure(NamedTuple):
    """What went wrong in an attempt, as it is kept in history."""

    kind: AttemptKind
    exception_type: str
    message: str
    traceback: str


class Succeeded(NamedTuple):
    """The task returned."""

    job: ClaimedJob


class Failed(NamedTuple):
    """The task raised, and its retry strategy gave up."""

    job: ClaimedJob
    failure: Failure


class Retry(NamedTuple):
    """The task raised, and runs again at `retry_at`, or `retry_in_s` seconds from when that is recorded
    (neither: at once), perhaps elsewhere in the order."""

    job: ClaimedJob
    failure: Failure
    retry_at: datetime | None
    retry_in_s: float | None
    priority: int | None
    queue: str | None
    lock: str | None


class Aborted(NamedTuple):
    """The job ended because somebody asked for it, before (no failure) or while it ran."""

    job: ClaimedJob
    failure: Failure | None


class Released(NamedTuple):
    """The job is given back without using an attempt: it had not started, or the worker stops."""

    job: ClaimedJob


Outcome: TypeAlias = Succeeded | Failed | Retry | Aborted | Released


def failure_of(error: BaseException, kind: AttemptKind) -> Failure:
    """Describe an exception for history: text that PostgreSQL can hold, of bounded length.

    Its traceback begins with the user's code: the engine's frames above it are left out. Never raises.
    Exceptions are the users' own, and may fail, lie or never end when looked at.
    """
    message = _message(error)
    return Failure(
        kind=kind,
        exception_type=storable(class_name(type(error)), 500),
        message=storable(message, MESSAGE_CHARACTERS_MAX),
        traceback=storable(_traceback(error, message), TRACEBACK_CHARACTERS_MAX),
    )


def storable(text: str, characters_max: int) -> str:
    """Return the text without what PostgreSQL refuses (NUL, lone surrogates), shortened in the middle."""
    text = str.__str__(text)  # of a subclass, the string that it really is
    if len(text) > characters_max:
        half = characters_max // 2
        text = (
            f"{text[:half]}\n[... {len(text) - 2 * half} characters left out ...]\n{text[-half:]}"
        )
    if text.isascii() and "\x00" not in text:
        return text
    return text.replace("\x00", "\\x00").encode("utf-8", "backslashreplace").decode("utf-8")


def _message(error: BaseException) -> str:
    try:
        return str.__str__(str(error))
    except BaseException as broken:  # it may raise whatever it likes, SystemExit too
        return _not_had("the exception's own text", broken)


def _traceback(error: BaseException, message: str) -> str:
    stack = _users_stack(error)
    try:
        plain = _plain_traceback(error, message, stack)
    except BaseException:  # a hostile name, or a file whose lines cannot be read
        plain = None
    if plain is not None:
        return plain
    if _is_ordinary(error):
        text = _told(
            "the traceback",
            lambda: "".join(traceback.format_exception(type(error), error, stack)),
        )
        if not text.startswith("<the traceback could not be had"):
            return text
    return "\n[... caused ...]\n\n".join(reversed([_link(link) for link in _chain(error)]))


def _users_stack(error: BaseException) -> TracebackType | None:
    """Return the part of its stack that is below the engine's, or its last frame if that is all."""
    start = link = _stack_of(error)
    while link is not None:
        beyond = link.tb_next
        if link.tb_frame.f_code.co_filename in OWN_FILES:
            start = beyond or link
        link = beyond
    return start  # type: ignore[no-any-return]


def _plain_traceback(error: BaseException, message: str, stack: TracebackType | None) -> str | None:
    """Return what `traceback.format_exception` does, in no time, of an exception that stands alone.

    None where Python's own way adds something: other exceptions, notes, hints. Of the exception's class
    nothing is asked, so there is nothing that it could do.
    """
    cls = type(error)
    if (
        issubclass(cls, _WITH_MORE)
        or _cause_of(error) is not None
        or (_context_of(error) is not None and not _suppresses_context(error))
        or "__notes__" in _dict_of(error)
        or len(message) > TRACEBACK_CHARACTERS_MAX
    ):
        return None
    module, name = _module_of(cls), class_name(cls)
    if module not in ("builtins", "__main__"):
        name = f"{module}.{name}"
    last_line = f"{name}: {message}\n" if message else f"{name}\n"
    if stack is None:
        return last_line
    return f"Traceback (most recent call last):\n{_stacks.text(stack)}{last_line}"


_WITH_MORE = (BaseExceptionGroup, SyntaxError, ImportError, NameError, AttributeError)
# As Python keeps them, whatever the exception's class says of them.
_cause_of = BaseException.__dict__["__cause__"].__get__
_context_of = BaseException.__dict__["__context__"].__get__
_suppresses_context = BaseException.__dict__["__suppress_context__"].__get__
_stack_of = BaseException.__dict__["__traceback__"].__get__
_dict_of = BaseException.__dict__["__dict__"].__get__
_module_of = type.__dict__["__module__"].__get__


class _Stacks:
    """The texts of the stacks that were formatted last.

    Python looks up the source of each frame, and parses it for the marks below it: half a millisecond.
    A job that fails is seldom alone. The text depends on the code and the place in it, of each frame.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._texts: dict[tuple[int, ...], tuple[list[CodeType], str]] = {}

    def text(self, link: TracebackType | None) -> str:
        """Return the lines of a traceback's frames."""
        codes: list[CodeType] = []
        key: list[int] = []
        outermost = link
        while link is not None:
            codes.append(link.tb_frame.f_code)
            key += (id(codes[-1]), link.tb_lasti, link.tb_lineno)
            link = link.tb_next
        found = self._texts.get(tuple(key))
        if found is None:
            if len(self._texts) >= self._size:
                del self._texts[next(iter(self._texts))]
            text = "".join(traceback.format_tb(outermost))
            found = self._texts[tuple(key)] = (
                codes,
                text,
            )  # with the codes, so that no id is another's
        return found[1]


_stacks = _Stacks(size=200)


def _told(what: str, tell: Callable[[], str]) -> str:
    try:
        return str.__str__(tell())
    except BaseException as broken:
        return _not_had(what, broken)


def _not_had(what: str, broken: BaseException) -> str:
    return f"<{what} could not be had: {class_name(type(broken))}>"


def _is_ordinary(error: BaseException) -> bool:
    """Whether Python can make the traceback: it follows each exception's attributes to the end.

    They may be properties that make a new cause each time, or there may be a million of them. And a
    text of a million lines would keep it busy for seconds.
    """
    try:
        return _is_plain(error)
    except BaseException:  # a metaclass may have its say, too
        return False


def _is_plain(error: BaseException) -> bool:
    seen: dict[int, BaseException] = {}
    found = [error]
    while found:
        link = found.pop()
        if id(link) in seen:
            continue
        seen[id(link)] = link
        if len(seen) > EXCEPTIONS_MAX or len(_message(link)) > TRACEBACK_CHARACTERS_MAX:
            return False
        if not all(_is_inherited(link, name) for name in _FOLLOWED):
            return False
        linked = (_own(link, "__cause__"), _own(link, "__context__"))
        found += [other for other in linked if other is not None]
        if _is_group(link):
            if not _is_inherited(link, "exceptions"):
                return False
            found += _own(link, "exceptions")
    return True


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an exception and what caused it, newest first, as far as we keep it."""
    link: BaseException | None = error
    seen: list[BaseException] = []
    while link is not None and len(seen) < LINKS_MAX and not any(link is one for one in seen):
        yield link
        seen.append(link)
        cause = _own(link, "__cause__")
        link = _own(link, "__context__") if cause is None else cause


def _link(error: BaseException) -> str:
    stack = _told("the stack", lambda: "".join(traceback.format_tb(_own(error, "__traceback__"))))
    parts = _own(error, "exceptions")[:PARTS_MAX] if _is_group(error) else ()
    lines = [
        f"{class_name(type(part))}: {storable(_message(part), 1000)}" for part in (error, *parts)
    ]
    return stack + "\n  with ".join(lines) + "\n"


_FOLLOWED = (
    "__getattribute__",
    "__cause__",
    "__context__",
    "__suppress_context__",
    "__traceback__",
)


def _is_group(error: BaseException) -> bool:
    return issubclass(type(error), BaseExceptionGroup)


def _is_inherited(error: BaseException, name: str) -> bool:
    """Whether an exception has this attribute as Python's own exceptions have it."""
    for cls in type.mro(type(error)):
        if name in cls.__dict__:
            return cls is BaseException or cls is BaseExceptionGroup
    return False


def _own(error: BaseException, name: str) -> Any:
    """Return an attribute as Python keeps it, whatever the exception's class says of it."""
    owner = BaseExceptionGroup if name == "exceptions" else BaseException
    return owner.__dict__[name].__get__(error)
