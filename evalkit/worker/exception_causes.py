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


def find_origin(error: BaseException) -> BaseException:
    """Return the innermost cause: of the first exception of each group, by `raise ... from`.

    The exception that was being handled counts as a cause only if an exception has no text of its own.
    """
    found = error
    for _ in range(MAX_DEPTH):
        inner = next(_list_causes(found), None)
        if inner is None:
            break
        found = inner
    return found


def _list_causes(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        yield error.exceptions[0]
    elif error.__cause__ is not None:
        yield error.__cause__
    elif error.__context__ is not None and not error.__suppress_context__ and not error.args:
        yield error.__context__
