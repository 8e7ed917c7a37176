"""Describe how the tool calls of two trials differ."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from evalkit.core.literals import Json
from evalkit.core.spans import ToolCall
from evalkit.report.case_status import json_text, representative_pair
from evalkit.report.model import Diff

_MAX_VALUE_CHARS = 80


def tool_call_diff_lines(diff: Diff, case_id: str) -> list[str]:
    """Return how the tool calls of a case's two trials differ; empty if no steps are known."""
    base, candidate = representative_pair(diff.base, diff.candidate, case_id)
    if base is None or candidate is None:
        return []
    before, now = base.output.tool_calls, candidate.output.tool_calls
    if not any((*before, *now, *diff.find_spans(base, candidate))):
        return []
    names = (diff.base.header.agent_version, diff.candidate.header.agent_version)
    if names[0] == names[1] or not all(names):
        names = ("the first", "the second")
    return describe_tool_call_diff(before, now, names)


def describe_tool_call_diff(
    before: Sequence[ToolCall], now: Sequence[ToolCall], names: tuple[str, str]
) -> list[str]:
    """Return sentences on how the calls of two trials differ; `names` are the names of the trials."""
    if not before and not now:
        return ["Neither calls a tool."]
    sentences = [
        *_call_counts_diff(before, now, names),
        *_first_difference(before, now, names),
        *_call_errors_diff(before, now, names),
    ]
    return sentences or ["Both call the same tools in the same order with the same arguments."]


def _times(count: int) -> str:
    return {0: "never", 1: "once", 2: "twice"}.get(count, f"{count} times")


def _call_counts_diff(
    before: Sequence[ToolCall], now: Sequence[ToolCall], names: tuple[str, str]
) -> Iterator[str]:
    """Yield a sentence such as: v4 calls search twice and never lookup_order; v3 calls search once."""
    counted = [Counter(call.name for call in calls) for calls in (before, now)]
    tools = dict.fromkeys(call.name for call in (*now, *before))
    different = [tool for tool in tools if counted[0][tool] != counted[1][tool]]
    if different:
        # The newer version comes first, because its change is of interest.
        sides = (_calls_text(names[side], counted[side], different) for side in (1, 0))
        yield f"{'; '.join(sides)}."


def _calls_text(name: str, counts: Mapping[str, int], tools: Sequence[str]) -> str:
    if not any(counts[tool] for tool in tools):
        return f"{name} never calls {_join_words(tools)}"
    called = [f"{tool} {_times(counts[tool])}" for tool in tools if counts[tool]]
    missing = [f"never {tool}" for tool in tools if not counts[tool]]
    return f"{name} calls {_join_words(called + missing)}"


def _join_words(words: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(words[:-1]), words[-1])))


def _first_difference(
    before: Sequence[ToolCall], now: Sequence[ToolCall], names: tuple[str, str]
) -> Iterator[str]:
    for number, (one, other) in enumerate(zip(before, now, strict=False), start=1):
        differ = f"They differ at call {number}"
        if one.name != other.name:
            yield f"{differ}: {names[0]} calls {one.name}, {names[1]} {other.name}."
            return
        if one.arguments != other.arguments:
            yield (
                f"{differ}, {one.name}: {names[0]} gives "
                f"{_arguments_diff(one.arguments, other.arguments)}, {names[1]} "
                f"{_arguments_diff(other.arguments, one.arguments)}."
            )
            return
    if len(before) != len(now):
        longer, name = (before, names[0]) if len(before) > len(now) else (now, names[1])
        number = min(len(before), len(now)) + 1
        yield f"They differ at call {number}, which only {name} makes: {longer[number - 1].name}."


def _arguments_diff(arguments: Json, others: Json) -> str:
    """Return the arguments that the others lack or have with another value."""
    if isinstance(arguments, Mapping) and isinstance(others, Mapping):
        own = {
            key: value
            for key, value in arguments.items()
            if key not in others or others[key] != value
        }
        arguments = own or "nothing else"
    text = json_text(arguments)
    return text if len(text) <= _MAX_VALUE_CHARS else f"{text[:_MAX_VALUE_CHARS]}..."


def _call_errors_diff(
    before: Sequence[ToolCall], now: Sequence[ToolCall], names: tuple[str, str]
) -> Iterator[str]:
    # Reversed, so that the mapping keeps the first error of a tool.
    failed = [
        {call.name: call.error or "" for call in reversed(calls) if call.error is not None}
        for calls in (before, now)
    ]
    for side in (1, 0):
        for tool, error in failed[side].items():
            if tool not in failed[1 - side]:
                message = f": {error[:_MAX_VALUE_CHARS]}" if error else ""
                yield f"{tool} fails in {names[side]}{message}."
