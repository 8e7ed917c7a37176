"""Find what an exception is really about: the members of a group, and the cause behind a wrapper."""

from __future__ import annotations

from collections.abc import Iterator

MAX_DEPTH = 50
"""How many causes of causes, and groups in groups, are followed; a target may build endless ones."""


def list_leaves(error: BaseException) -> list[BaseException]:
    """Return the exceptions in a group and in its groups, in order; an ordinary exception alone."""
    level: list[BaseException] = [error]
    for _ in range(MAX_DEPTH):
        if not any(isinstance(each, BaseExceptionGroup) for each in level):
            break
        level = [
            member
            for each in level
            for member in (each.exceptions if isinstance(each, BaseExceptionGroup) else (each,))
        ]
    return level


def find_origin(error: BaseException) -> tuple[BaseException, int]:
    """Return the innermost cause, by `raise ... from`, and how many others are in groups on the way to it.

    Of a group it is the cause of its first exception. The exception that was being handled counts as a
    cause only if an exception has no text of its own.
    """
    found, others = error, 0
    for _ in range(MAX_DEPTH):
        if isinstance(found, BaseExceptionGroup):
            others += len(list_leaves(found)) - 1
            found = list_leaves(found)[0]
        inner = next(_list_causes(found), None)
        if inner is None:
            break
        found = inner
    return found, others


def _list_causes(error: BaseException) -> Iterator[BaseException]:
    if error.__cause__ is not None:
        yield error.__cause__
    elif error.__context__ is not None and not error.__suppress_context__ and not error.args:
        yield error.__context__
