"""Two definitions of a gate into a list of what one edits in the other, each edit loosening or not.

Whatever cannot be told to do nothing but tighten or add counts as loosening.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields

import msgspec

from evalkit.definition.files import name_for
from evalkit.definition.rules import find_rule_changes
from evalkit.digest import canonical
from evalkit.plan import DEFAULT_GATE, effective_metrics
from evalkit.records import Case, EvalSet, Json, MetricSpec
from evalkit.settings import OPERATIONAL, Settings
from evalkit.spelling import count_of
from evalkit.verdict import NOWHERE, GateChange

_NAMED_CASES = 5
_KNOWN_FIELDS = frozenset(
    {"name", "path", "description", "agent", "metrics", "gate", "cases", "settings", "digest"}
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Definition:
    """All that a gate is defined by: a set, the contents of the files it names, its baseline's.

    `files` holds a digest by each word of the set that leads to a file; `baseline` is one of the whole
    file, empty where there is none.
    """

    evalset: EvalSet
    files: Mapping[str, str] = field(default_factory=dict)
    baseline: str = ""


def find_changes(before: Definition, now: Definition) -> tuple[GateChange, ...]:
    """What a change edits in the gate; empty when both define the same."""
    old, new = before.evalset, now.evalset
    return (
        *find_rule_changes(old.gate or DEFAULT_GATE, new.gate or DEFAULT_GATE),
        *_setting_changes(old.settings, new.settings),
        *_case_changes(old, new),
        *_metric_changes(before, now),
        *_section_changes(before, now),
        *_baseline_changes(before.baseline, now.baseline),
        *_agent_changes(old, new),
    )


def _more_trials(before: Json, now: Json) -> bool:
    return isinstance(before, int) and isinstance(now, int) and now >= before


STRICTNESS: Mapping[str, Callable[[Json, Json], bool]] = {
    "max_errors": lambda before, now: now <= before,
    "on_inconclusive": lambda _, now: now == "fail",
    "trials": _more_trials,
}
"""Settings of which one value is at least as strict as another. Of the others, such as the seed, no
value is, save for those that are about how a run is done."""


def _setting_changes(before: Mapping[str, Json], now: Mapping[str, Json]) -> Iterator[GateChange]:
    usual = msgspec.to_builtins(Settings())
    old, new = {**usual, **before}, {**usual, **now}
    for name in sorted(old.keys() | new.keys()):
        was, becomes = old.get(name), new.get(name)
        if was == becomes or name in OPERATIONAL:
            continue
        is_as_strict = STRICTNESS.get(name, lambda *_: False)
        yield GateChange(
            kind="setting",
            sentence=f"{name}: {was} -> {becomes}",
            loosened=not is_as_strict(was, becomes),
        )


def _name_cases(cases: Sequence[Case]) -> str:
    named = ", ".join(case.id for case in cases[:_NAMED_CASES])
    return f"{named} and {len(cases) - _NAMED_CASES} more" if cases[_NAMED_CASES:] else named


def _cases_changed(what: str, cases: Sequence[Case], *, loosened: bool) -> Iterator[GateChange]:
    if cases:
        yield GateChange(
            kind="case",
            sentence=f"{count_of(len(cases), 'case')} {what}: {_name_cases(cases)}",
            loosened=loosened,
            case_ids=tuple(case.id for case in cases),
            where=cases[0].where,
        )


def _case_changes(before: EvalSet, now: EvalSet) -> Iterator[GateChange]:
    """Cases are told apart by id, which is what the baseline knows them by, and compared by content."""
    old, new = ({case.id: case for case in one.cases} for one in (before, now))
    shared = [(case, new[case.id]) for case in before.cases if case.id in new]
    yield from _cases_changed(
        "removed", [c for c in before.cases if c.id not in new], loosened=True
    )
    labelled = [now for was, now in shared if was.expected != now.expected]
    yield from _cases_changed("relabelled", labelled, loosened=True)
    edited = [
        now for was, now in shared if was.digest != now.digest and was.expected == now.expected
    ]
    yield from _cases_changed("edited", edited, loosened=True)
    meaningful = _tags_with_meaning(before) | _tags_with_meaning(now)
    for matters in (True, False):
        retagged = [
            now
            for was, now in shared
            if (moved := set(was.tags) ^ set(now.tags)) and bool(moved & meaningful) is matters
        ]
        what = "tagged otherwise" if matters else "with other tags, which no threshold is about"
        yield from _cases_changed(what, retagged, loosened=matters)
    regrouped = [now for was, now in shared if was.cluster != now.cluster]
    asks_users = any(rule.estimand == "users" for rule in (*before.gate, *now.gate))
    yield from _cases_changed("in another cluster", regrouped, loosened=asks_users)
    yield from _cases_changed("added", [c for c in now.cases if c.id not in old], loosened=False)


def _tags_with_meaning(evalset: EvalSet) -> set[str]:
    """The tags that decide which cases a threshold or a metric is about."""
    of_rules = {tag for rule in evalset.gate for tag in (*(rule.must_pass or ()), rule.tag) if tag}
    return of_rules | {tag for spec in evalset.metrics for tag in spec.tags}


def _metric_changes(before: Definition, now: Definition) -> Iterator[GateChange]:
    """Metrics as they apply to the cases that both sets have, whatever way they came to apply."""
    new_cases = {case.id: case for case in now.evalset.cases}
    lost: dict[str, list[Case]] = {}
    gained: dict[str, MetricSpec] = {}
    altered: dict[str, tuple[MetricSpec, MetricSpec]] = {}
    for case in before.evalset.cases:
        after = new_cases.get(case.id)
        if after is None or _specs_text(case.metrics) != _specs_text(after.metrics):
            continue  # removed or edited, which is told already
        old, new = (
            {spec.name: spec for spec in effective_metrics(one.evalset, which)}
            for one, which in ((before, case), (now, after))
        )
        for name in old.keys() - new.keys():
            lost.setdefault(name, []).append(case)
        gained |= {name: new[name] for name in new.keys() - old.keys()}
        for name in old.keys() & new.keys():
            if _sign(old[name], case, before.files) != _sign(new[name], case, now.files):
                altered[name] = (old[name], new[name])
    for name, cases in sorted(lost.items()):
        where = f"{count_of(len(cases), 'case')}: {_name_cases(cases)}"
        yield GateChange(
            kind="metric",
            sentence=f"metric {name}: no longer scores {where}",
            loosened=True,
            case_ids=tuple(case.id for case in cases),
        )
    for name, (was, becomes) in sorted(altered.items()):
        moved = [word for word in before.files if before.files[word] != now.files.get(word)]
        yield _describe_metric(name, was, becomes, moved)
    for name, spec in sorted(gained.items()):
        sentence = f"metric {name}: added"
        yield GateChange(kind="metric", sentence=sentence, loosened=False, where=spec.where)


def _specs_text(specs: Iterable[MetricSpec]) -> str:
    return canonical([[spec.name, spec.ref, msgspec.to_builtins(spec.args)] for spec in specs])


def _sign(spec: MetricSpec, case: Case, files: Mapping[str, str]) -> Json:
    """What a metric is for a case, with the contents of files in place of their names."""
    return _with_contents([spec.ref, msgspec.to_builtins(spec.args)], files, case)


def _with_contents(value: Json, files: Mapping[str, str], case: Case | None = None) -> Json:
    if isinstance(value, str):
        value = name_for(case, value) if case is not None else value
        # The attribute of `./file.py:attribute` says which of a file's objects is meant.
        place = value.rpartition(":")[2] if ":" in value else ""
        return [files[value], place] if value in files else value
    if isinstance(value, Mapping):
        places = {"where"} | ({"path", "line"} if {"path", "line"} <= value.keys() else set())
        return {key: _with_contents(value[key], files, case) for key in value if key not in places}
    if isinstance(value, list | tuple):
        return [_with_contents(item, files, case) for item in value]
    return value


def _describe_metric(
    name: str, was: MetricSpec, becomes: MetricSpec, moved: Sequence[str]
) -> GateChange:
    text = _specs_text([was])
    if text == _specs_text([becomes]):
        behind = next((word for word in moved if canonical(word) in text), becomes.ref)
        sentence = f"metric {name}: {behind} was edited, or a file that it leads to"
        return GateChange(kind="file", sentence=sentence, loosened=True, where=becomes.where)
    what = f"{was.ref} -> {becomes.ref}" if was.ref != becomes.ref else "its arguments were edited"
    return GateChange(
        kind="metric", sentence=f"metric {name}: {what}", loosened=True, where=becomes.where
    )


def _section_changes(before: Definition, now: Definition) -> Iterator[GateChange]:
    """Whatever else a set says, such as by which judge: nothing is known of which is stricter."""
    for one in fields(EvalSet):
        if one.name in _KNOWN_FIELDS:
            continue
        old, new = (
            _with_contents(msgspec.to_builtins(getattr(side.evalset, one.name)), side.files)
            for side in (before, now)
        )
        if old != new:
            yield GateChange(
                kind="section",
                sentence=f"{one.name}: edited, or files that it names",
                loosened=True,
            )


def _baseline_changes(before: str, now: str) -> Iterator[GateChange]:
    if before == now:
        return
    words = {(True, True): "replaced", (True, False): "removed", (False, True): "added"}
    word = words[bool(before), bool(now)]
    yield GateChange(kind="baseline", sentence=f"the baseline was {word}", loosened=bool(before))


def _agent_changes(before: EvalSet, now: EvalSet) -> Iterator[GateChange]:
    """The agent is what is tested, so it may be any; answers that were written down are none."""
    old, new = (one.agent.kind if one.agent else "none" for one in (before, now))
    if new == "recorded" != old:
        yield GateChange(
            kind="agent",
            sentence=f"agent: {old} -> {new}, answers that were written down",
            loosened=True,
            where=now.agent.where if now.agent else NOWHERE,
        )
