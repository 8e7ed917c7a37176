"""Select the cases of a set to run: by id, tag, expression, shard, and limit."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NoReturn, TypeAlias

from evalkit.core.errors import EmptyEvalSet, InvalidInput, NothingSelected
from evalkit.core.eval_set import Case

Matcher: TypeAlias = Callable[[Case], bool]

MAX_SYMBOLS = 200
"""Symbols of a -k expression. A longer one would recurse too deeply."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Shard:
    """Part `index` (from 1) of `count` equal parts of a set."""

    index: int
    count: int

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Selection:
    """The cases selected on the command line: those that meet every condition. Without any, all cases.

    `only` has ids that evalkit computed, such as the cases that failed last time.
    """

    case_ids: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    expression: str | None = None
    only: frozenset[str] | None = None
    shard: Shard | None = None
    limit: int | None = None

    def __str__(self) -> str:
        words = [f"--case {case_id}" for case_id in self.case_ids]
        words += [f"--tag {tag}" for tag in self.tags]
        words += [f"-k {self.expression!r}"] if self.expression is not None else []
        words += ["--last-failed"] if self.only is not None else []
        words += [f"--shard {self.shard}"] if self.shard else []
        words += [f"--limit {self.limit}"] if self.limit is not None else []
        return " ".join(words)


def select_cases(cases: Sequence[Case], selection: Selection) -> tuple[Case, ...]:
    """Return the selected cases in the order of the set.

    Raises:
        InvalidInput: No case has an id, or the expression is invalid.
        NothingSelected: No case is selected.
    """
    if not cases:
        raise EmptyEvalSet("the eval set has no cases. Add cases under `cases:`.")
    known = {case.id for case in cases}
    unknown = [case_id for case_id in selection.case_ids if case_id not in known]
    if unknown:
        near = difflib.get_close_matches(unknown[0], known, n=1)
        raise InvalidInput.single(
            f"no case has the id {', '.join(map(repr, unknown))}."
            + (f" Did you mean {near[0]!r}?" if near else "")
        )
    expression = selection.expression
    matches = parse_expression(expression) if expression is not None else lambda _: True
    chosen = [
        case
        for case in cases
        if (not selection.case_ids or case.id in selection.case_ids)
        and (not selection.tags or set(selection.tags) & set(case.tags))
        and (selection.only is None or case.id in selection.only)
        and matches(case)
    ]
    if selection.shard and selection.shard.count > len(chosen) > 0:
        raise InvalidInput.single(
            f"--shard {selection.shard}: there are only {len(chosen)} cases. "
            f"Use at most {len(chosen)} shards."
        )
    if selection.shard:
        # Every n-th case, so that slow cases that are listed together spread over all shards.
        chosen = chosen[selection.shard.index - 1 :: selection.shard.count]
    if selection.limit is not None:
        chosen = chosen[: selection.limit]
    if not chosen:
        tags = sorted({tag for case in cases for tag in case.tags})
        asked = next(iter(selection.tags), "")
        near = difflib.get_close_matches(asked, tags, n=1) if asked not in tags else []
        advice = f"Did you mean {near[0]!r}? " if near else ""
        raise NothingSelected(
            f"no case of {len(cases)} is selected by {selection}. "
            f"{advice}Known tags: {', '.join(tags) or '-'}."
        )
    return tuple(chosen)


def parse_shard(text: str) -> Shard:
    """Parse a shard such as `2/8`; raise InvalidInput when it is not one."""
    found = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text)
    if found:
        index, count = int(found[1]), int(found[2])
        if 1 <= index <= count:
            return Shard(index=index, count=count)
    raise InvalidInput.single(f"--shard {text!r} is not a shard such as 2/8.")


def parse_expression(text: str) -> Matcher:
    """Parse `refunds and not (german or typo)`; a word matches part of an id, or a whole tag.

    Raises:
        InvalidInput: The expression is invalid; the message says where.
    """
    # Parentheses are symbols of their own; any other character may be part of a word, as in ids.
    symbols = re.findall(r"\(|\)|[^\s()]+", text)
    if len(symbols) > MAX_SYMBOLS:
        raise InvalidInput.single(f"-k takes at most {MAX_SYMBOLS} words, not {len(symbols)}.")
    reader = iter([*symbols, ""])  # "" marks the end
    matcher, rest = _read_or(next(reader), reader, text)
    if rest:
        _refuse(text, rest)
    return matcher


def _read_or(symbol: str, rest: Iterator[str], text: str) -> tuple[Matcher, str]:
    left, symbol = _read_and(symbol, rest, text)
    while symbol == "or":
        right, symbol = _read_and(next(rest), rest, text)
        left = _match_any(left, right)
    return left, symbol


def _read_and(symbol: str, rest: Iterator[str], text: str) -> tuple[Matcher, str]:
    left, symbol = _read_not(symbol, rest, text)
    while symbol == "and":
        right, symbol = _read_not(next(rest), rest, text)
        left = _match_all(left, right)
    return left, symbol


def _read_not(symbol: str, rest: Iterator[str], text: str) -> tuple[Matcher, str]:
    if symbol == "not":
        inner, symbol = _read_not(next(rest), rest, text)
        return (lambda case: not inner(case)), symbol
    if symbol == "(":
        inner, symbol = _read_or(next(rest), rest, text)
        if symbol != ")":
            _refuse(text, symbol)
        return inner, next(rest)
    if symbol in ("", ")", "and", "or"):
        _refuse(text, symbol)
    return _match_word(symbol), next(rest)


def _match_any(left: Matcher, right: Matcher) -> Matcher:
    return lambda case: left(case) or right(case)


def _match_all(left: Matcher, right: Matcher) -> Matcher:
    return lambda case: left(case) and right(case)


def _match_word(word: str) -> Matcher:
    folded = word.casefold()
    return lambda case: (
        folded in case.id.casefold() or any(folded == tag.casefold() for tag in case.tags)
    )


def _refuse(text: str, symbol: str) -> NoReturn:
    found = repr(symbol) if symbol else "its end"
    raise InvalidInput.single(
        f"-k {text!r} is invalid at {found}. Use words, and, or, not, and parentheses."
    )
