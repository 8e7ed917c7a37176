"""Call the user's code safely: describe its exceptions, and check how its functions can be called."""

from __future__ import annotations

import inspect
import traceback
from collections.abc import Callable, Iterable
from difflib import get_close_matches
from pathlib import Path
from types import TracebackType
from typing import Any, TypeAlias, TypeVar

from evalkit.worker.exception_causes import find_origin, list_leaves

T = TypeVar("T")

CallArguments: TypeAlias = tuple[tuple[Any, ...], dict[str, Any]]
"""Positional and named arguments."""

WORKER_FOLDER = str(Path(__file__).parent)
MAX_FRAMES = 8
MAX_LISTED = 5
MAX_MESSAGE_CHARS = 500
MAX_SHOWN_CHARS = 60


class LoadFailure(Exception):
    """The object cannot be loaded or used; has every reason and the last lines of the traceback."""

    def __init__(self, *reasons: str, detail: str = "") -> None:
        super().__init__(*reasons)
        self.reasons = reasons
        self.detail = detail


class BadReply(Exception):
    """A call returned something that it may not return; the message says what is allowed."""


def suggest_near_name(name: str, known: Iterable[str]) -> str:
    """Return ` Did you mean ...?` with the nearest known name, or an empty text."""
    close = get_close_matches(name, list(known), n=1)
    return f" Did you mean {close[0]!r}?" if close else ""


def repr_value(value: object) -> str:
    """Return the `repr` of a value, shortened for a message."""
    text = repr(value)
    return text if len(text) <= MAX_SHOWN_CHARS else f"{text[: MAX_SHOWN_CHARS - 3]}..."


def describe_exception(error: BaseException) -> str:
    """Return `TypeName: text` of an exception; never raise, even if its `__str__` does.

    Of a group, show the first exception in it and count the others. Add the innermost cause, which a
    wrapper's text often lacks.
    """
    first, *others = list_leaves(error)
    text = _describe_one(first)
    origin, hidden = find_origin(first)
    if origin is not first and (reason := _describe_one(origin)) not in text:
        text = f"{text} (caused by {reason}{f', and {hidden:,} more' if hidden else ''})"
    more = f" (and {len(others):,} more in {type(error).__name__})" if others else ""
    return f"{text}{more}"


def _describe_one(error: BaseException) -> str:
    name = type(error).__name__
    try:
        text = str(error)
    except BaseException:  # a broken __str__ must not end the worker
        text = "(its text cannot be shown)"
    return f"{name}: {text[:MAX_MESSAGE_CHARS]}" if text else name


def format_user_traceback(error: BaseException) -> str:
    """Return the last frames of an exception in the user's code, without evalkit and the import system.

    The frames of the innermost cause and the other exceptions of a group come first.
    """
    first, *others = list_leaves(error)
    origin, _ = find_origin(first)
    parts = [_describe_one(other) for other in others[:MAX_LISTED]]
    if origin is not first:
        parts += [f"{_format_frames(origin)}\n{_describe_one(origin)}", "which led to:"]
    # A group was raised elsewhere than its members, which say more.
    return "\n".join([*parts, _format_frames(first) or _format_frames(error)]).strip("\n")


def _format_frames(error: BaseException) -> str:
    if isinstance(error, SyntaxError):
        return "".join(traceback.format_exception_only(error)).rstrip()
    frames = [
        frame
        for frame in traceback.extract_tb(_last_frames(error.__traceback__))
        if not frame.filename.startswith((WORKER_FOLDER, "<frozen importlib"))
    ]
    return "".join(traceback.format_list(frames[-MAX_FRAMES:])).rstrip()


def _last_frames(trace: TracebackType | None) -> TracebackType | None:
    """Skip the beginning of a long traceback: a RecursionError has a thousand frames."""
    frames = []
    while trace is not None:
        frames.append(trace)
        trace = trace.tb_next
    # More than MAX_FRAMES, because evalkit's own frames are removed later.
    return frames[-4 * MAX_FRAMES :][0] if frames else None


def run_user_code(load: Callable[[], T]) -> T:
    """Run the code of a module or class, which may raise anything.

    Raises:
        LoadFailure: the code raised an exception, SystemExit included.
    """
    try:
        return load()
    except BaseException as error:
        raise LoadFailure(describe_exception(error), detail=format_user_traceback(error)) from error


def is_async(function: Callable[..., object]) -> bool:
    """Return whether a call returns a coroutine: an async function, or an object with async `__call__`."""
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
        getattr(type(function), "__call__", None)  # noqa: B004 - the method itself is needed
    )


def read_signature(function: Callable[..., object]) -> inspect.Signature | None:
    """Return the signature, or None for C code that has none."""
    try:
        return inspect.signature(function)
    except (ValueError, TypeError):
        return None


def accepts(signature: inspect.Signature, arguments: CallArguments) -> bool:
    """Return whether a function with this signature can be called with these arguments."""
    try:
        signature.bind(*arguments[0], **arguments[1])
    except TypeError:
        return False
    return True
