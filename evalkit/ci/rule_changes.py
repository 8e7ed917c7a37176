"""List the edits between two lists of thresholds, and whether each edit loosens the gate.

Strictness is a partial order: some pairs of thresholds cannot be compared, and count as loosened.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple, TypeAlias

import msgspec

from evalkit.core.eval_set import Rule
from evalkit.core.format import format_count, name_rule
from evalkit.core.gate_result import GateChange
from evalkit.core.location import NO_LOCATION
from evalkit.core.serialization import digest

IsStricter: TypeAlias = Callable[[float, float], bool]
_HIGHER: IsStricter = lambda before, now: now >= before  # noqa: E731 - two directions of one comparison
_LOWER: IsStricter = lambda before, now: now <= before  # noqa: E731

STRICTER_LIMITS: Mapping[str, IsStricter] = {
    "min": _HIGHER,
    "max": _LOWER,
    "max_drop": _LOWER,
    "max_rise": _LOWER,
    "max_regressed": _LOWER,
    "broken_cases": _LOWER,
}
"""Every numeric limit, with a function that says whether the new value is at least as strict."""

COMPARED_FIELDS = ("alpha", "test", "estimand", "mix")
"""Fields that change both the chance to fail and the chance to pass, so no value is stricter."""


class _RuleSubject(NamedTuple):
    """What a threshold is about; only thresholds about the same thing can be compared."""

    limit: str
    metric: str
    stat: str
    tag: str | None


def _find_subject(rule: Rule) -> _RuleSubject:
    limit = next((name for name in STRICTER_LIMITS if getattr(rule, name) is not None), "must_pass")
    return _RuleSubject(limit, rule.metric, rule.stat, rule.tag)


def is_as_strict(before: Rule, now: Rule) -> bool:
    """Return whether `now` fails every run that `before` would have failed."""
    if _find_subject(before) != _find_subject(now):
        return False
    if any(getattr(before, name) != getattr(now, name) for name in COMPARED_FIELDS):
        return False
    if before.primary and not now.primary:
        return False  # without `primary`, it shares alpha with other thresholds
    limit = _find_subject(before).limit
    if limit == "must_pass":
        return _covers(now.must_pass or (), before.must_pass or ())
    return (
        STRICTER_LIMITS[limit](getattr(before, limit), getattr(now, limit))
        and now.margin <= before.margin
        and _is_floor_as_strict(before.and_at_least, now.and_at_least)
    )


def _covers(tags: Sequence[str], others: Sequence[str]) -> bool:
    """Return whether `tags` select every case that `others` select; no tags select all cases."""
    return not tags or (bool(others) and set(others) <= set(tags))


def _is_floor_as_strict(before: float | None, now: float | None) -> bool:
    # The default depends on the metric (only latencies have a floor), so None cannot be compared.
    if before is None or now is None:
        return before == now
    return now <= before


def _is_same(before: Rule, now: Rule) -> bool:
    return replace(before, where=NO_LOCATION) == replace(now, where=NO_LOCATION)


def find_rule_changes(before: Sequence[Rule], now: Sequence[Rule]) -> Iterator[GateChange]:
    """Yield the edits of existing thresholds, then the new thresholds."""
    left, edited = list(now), []
    for rule in before:
        same = next((one for one in left if _is_same(rule, one)), None)
        if same is None:
            edited.append(rule)
        else:
            left.remove(same)
    for rule in edited:
        kept = next((one for one in left if is_as_strict(rule, one)), None)
        near = kept or next(
            (one for one in left if _find_subject(one) == _find_subject(rule)), None
        )
        yield _describe_edit(rule, near, loosened=kept is None)
        if near is not None:
            left.remove(near)
    for rule in left:
        yield GateChange(
            kind="threshold",
            sentence=f"threshold {name_rule(rule)}: added, {_describe_rule(rule)}",
            loosened=False,
            where=rule.where,
        )
    yield from _find_alpha_dilution(before, now)


def _find_alpha_dilution(before: Sequence[Rule], now: Sequence[Rule]) -> Iterator[GateChange]:
    """Yield a change if more thresholds share alpha than before, which leaves less for each."""
    shared, sharing = (
        sum(rule.is_tested and not rule.primary for rule in rules) for rules in (before, now)
    )
    if shared and sharing > shared:
        yield GateChange(
            kind="threshold",
            sentence=f"alpha is shared by {format_count(sharing, 'threshold')}, not {shared}, so each of them "
            f"fails less easily; a threshold with `primary: true` keeps its own",
            loosened=True,
        )


def _describe_edit(before: Rule, now: Rule | None, *, loosened: bool) -> GateChange:
    name = name_rule(before)
    if now is None:
        sentence = f"threshold {name}: removed, was {_describe_rule(before)}"
    else:
        sentence = f"threshold {name}: {_describe_rule(before)} -> {_describe_rule(now)}"
    return GateChange(
        kind="threshold",
        sentence=sentence,
        loosened=loosened,
        where=before.where if now is None else now.where,
    )


def _describe_rule(rule: Rule) -> str:
    """Return a threshold's limit, and its other fields that differ from the default."""
    default = Rule()
    limit = _find_subject(rule).limit
    value = getattr(rule, limit)
    words = [f"{limit} {value:g}" if limit != "must_pass" else f"must_pass {_describe_tags(value)}"]
    for name in ("margin", "alpha", "and_at_least", "estimand", "test"):
        given = getattr(rule, name)
        if given != getattr(default, name):
            words.append(f"{name} {given:g}" if isinstance(given, float) else f"{name} {given}")
    if rule.mix is not None:
        weights = digest(msgspec.to_builtins(rule.mix))[:6]
        words.append(f"weighed by traffic until {rule.mix.until} (weights {weights})")
    return ", ".join([*words, *(["primary"] if rule.primary else [])])


def _describe_tags(tags: Sequence[str]) -> str:
    return f"[{', '.join(tags)}]" if tags else "all"
