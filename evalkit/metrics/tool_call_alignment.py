"""Align the actual tool calls with the expected ones, and find where they first differ."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from evalkit.core.json_text import parse_call_arguments
from evalkit.core.literals import Json
from evalkit.core.spans import ToolCall
from evalkit.core.values import ABSENT, quote_value
from evalkit.metrics.builtin import UnscorableAnswer
from evalkit.metrics.partners import match_pairs

MAX_COMPARED_PAIRS = 500_000
"""Pairs of an expected and an actual call of the same name. Each takes about a microsecond."""

MatchMode: TypeAlias = Literal["exact", "in_order", "any_order", "subset", "superset"]


@dataclass(frozen=True, kw_only=True, slots=True)
class ExpectedCall:
    """A call that is expected; if `arguments` is ABSENT, any arguments match."""

    name: str
    arguments: Json = ABSENT


CompareArguments: TypeAlias = Callable[[Json, Json], str]
"""Compares expected with actual arguments; returns what differs, or an empty text."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Alignment:
    """Which calls agree: pairs of an index into `expected` and one into `actual`, sorted."""

    expected: tuple[ExpectedCall, ...]
    actual: tuple[ToolCall, ...]
    pairs: tuple[tuple[int, int], ...]

    @property
    def precision(self) -> float:
        """The share of the actual calls that were expected."""
        return _share_or_default(len(self.pairs), len(self.actual), len(self.expected))

    @property
    def recall(self) -> float:
        """The share of the expected calls that were made."""
        return _share_or_default(len(self.pairs), len(self.expected), len(self.actual))

    @property
    def f1(self) -> float:
        """The harmonic mean of precision and recall; 1 if no call was expected and none was made."""
        total = len(self.expected) + len(self.actual)
        return 2 * len(self.pairs) / total if total else 1.0

    def satisfies(self, mode: MatchMode) -> bool:
        """Return whether the calls are as the mode demands."""
        none_missing = len(self.pairs) == len(self.expected)
        none_extra = len(self.pairs) == len(self.actual)
        if mode in ("in_order", "superset"):
            return none_missing
        return none_extra if mode == "subset" else none_missing and none_extra


def _share_or_default(part: int, whole: int, other: int) -> float:
    if whole:
        return part / whole
    return 0.0 if other else 1.0


def align_calls(
    expected: Sequence[ExpectedCall],
    actual: Sequence[ToolCall],
    mode: MatchMode,
    compare: CompareArguments,
) -> Alignment:
    """Pair as many calls as possible, for `exact` and `in_order` without changing their order."""
    # Parsed once, because each call is compared with many.
    actual = [replace(call, arguments=parse_call_arguments(call.arguments)) for call in actual]
    expected = [
        one
        if one.arguments is ABSENT
        else replace(one, arguments=parse_call_arguments(one.arguments))
        for one in expected
    ]
    named = Counter(call.name for call in actual)
    pairs_to_compare = sum(named[one.name] for one in expected)
    if pairs_to_compare > MAX_COMPARED_PAIRS:
        raise UnscorableAnswer(
            f"{pairs_to_compare:,} pairs of expected and actual calls of one name are too many to "
            f"compare; at most {MAX_COMPARED_PAIRS:,} are"
        )
    agrees = [[_is_parsed_match(one, call, compare) for call in actual] for one in expected]
    return _align(expected, actual, mode, agrees)


def _align(
    expected: Sequence[ExpectedCall],
    actual: Sequence[ToolCall],
    mode: MatchMode,
    agrees: Sequence[Sequence[bool]],
) -> Alignment:
    pair = _pair_in_order if mode in ("exact", "in_order") else _pair_freely
    pairs = pair(agrees, len(actual))
    return Alignment(expected=tuple(expected), actual=tuple(actual), pairs=tuple(sorted(pairs)))


def _is_parsed_match(expected: ExpectedCall, call: ToolCall, compare: CompareArguments) -> bool:
    if expected.name != call.name or expected.arguments is ABSENT:
        return expected.name == call.name
    return not compare(expected.arguments, call.arguments)


def _is_match(expected: ExpectedCall, call: ToolCall, compare: CompareArguments) -> bool:
    return expected.name == call.name and not _describe_mismatch(expected, call, compare)


def find_unknown_arguments(
    expected: Sequence[ExpectedCall],
    actual: Sequence[ToolCall],
    mode: MatchMode,
    compare: CompareArguments,
) -> str:
    """Return the tool whose unknown arguments alone decide whether the calls are as the mode demands.

    The text is empty if there is none: the calls differ, whatever these arguments are.
    """
    unknown = [call for call in actual if call.arguments is None]
    decided = [one for one in expected if one.arguments is not ABSENT]
    named = {one.name for one in decided} & {call.name for call in unknown}
    if not named:
        return ""

    def is_possible(one: ExpectedCall, call: ToolCall) -> bool:
        is_known = call.arguments is not None
        return _is_match(one, call, compare) if is_known else one.name == call.name

    agrees = [[is_possible(one, call) for call in actual] for one in expected]
    return min(named) if _align(expected, actual, mode, agrees).satisfies(mode) else ""


def _describe_mismatch(expected: ExpectedCall, call: ToolCall, compare: CompareArguments) -> str:
    if expected.arguments is ABSENT:
        return ""
    return compare(parse_call_arguments(expected.arguments), parse_call_arguments(call.arguments))


def _pair_in_order(agrees: Sequence[Sequence[bool]], width: int) -> list[tuple[int, int]]:
    """Return the pairs of a longest common subsequence."""
    height = len(agrees)
    # longest[i][j] is the length for the expected calls from i on and the actual ones from j on.
    longest = [[0] * (width + 1) for _ in range(height + 1)]
    for i in reversed(range(height)):
        for j in reversed(range(width)):
            longest[i][j] = (
                longest[i + 1][j + 1] + 1
                if agrees[i][j]
                else max(longest[i + 1][j], longest[i][j + 1])
            )
    pairs, i, j = [], 0, 0
    while i < height and j < width:
        if agrees[i][j]:
            pairs.append((i, j))
            i, j = i + 1, j + 1
        elif longest[i + 1][j] >= longest[i][j + 1]:
            i += 1
        else:
            j += 1
    return pairs


def _pair_freely(agrees: Sequence[Sequence[bool]], width: int) -> list[tuple[int, int]]:
    return match_pairs([[j for j in range(width) if row[j]] for row in agrees])


def first_difference(alignment: Alignment, mode: MatchMode, compare: CompareArguments) -> str:
    """Describe where the calls first differ; empty if they agree."""
    paired = dict(alignment.pairs)
    matched = set(paired.values())
    missing = next((i for i in range(len(alignment.expected)) if i not in paired), None)
    extra = next((j for j in range(len(alignment.actual)) if j not in matched), None)
    if missing is not None and mode != "subset":
        return _describe_missing(alignment, missing, matched, compare)
    if extra is not None and mode not in ("in_order", "superset"):
        call = alignment.actual[extra]
        return f"call {extra + 1} was not expected: {_call_text(call.name, call.arguments)}"
    return ""


def _describe_missing(
    alignment: Alignment, index: int, matched: set[int], compare: CompareArguments
) -> str:
    expected = alignment.expected[index]
    arguments = None if expected.arguments is ABSENT else expected.arguments
    missing = f"{_call_text(expected.name, arguments)} was not called"
    named = [
        j
        for j, call in enumerate(alignment.actual)
        if call.name == expected.name and j not in matched
    ]
    for j in named:
        if difference := _describe_mismatch(expected, alignment.actual[j], compare):
            return f"{missing}; call {j + 1} of {expected.name} differs: {difference}"
    if named:
        return f"{missing} in this order; it is call {named[0] + 1}"
    return missing


def _call_text(name: str, arguments: Json) -> str:
    arguments = parse_call_arguments(arguments)
    if not isinstance(arguments, dict):
        return f"{name}({quote_value(arguments)})"
    return f"{name}({', '.join(f'{key}={quote_value(value)}' for key, value in arguments.items())})"
