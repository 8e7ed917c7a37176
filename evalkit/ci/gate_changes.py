"""List the edits between two definitions of a gate, and whether each edit loosens the gate.

An edit counts as loosening unless it can only tighten or add.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields

import msgspec

from evalkit.ci.access_changes import find_access_changes
from evalkit.ci.gate_files import expand_name
from evalkit.ci.normalized_cases import normalize_case
from evalkit.ci.rule_changes import find_rule_changes
from evalkit.core.eval_set import Case, EvalSet, MetricSpec
from evalkit.core.format import format_count
from evalkit.core.gate_result import GateChange
from evalkit.core.literals import Json
from evalkit.core.location import NO_LOCATION
from evalkit.core.serialization import canonical_json
from evalkit.core.settings import OPERATIONAL_SETTINGS, Settings
from evalkit.runner.case_metrics import DEFAULT_GATE, effective_metrics

_MAX_NAMED_CASES = 5
_KNOWN_FIELDS = frozenset(
    {"name", "path", "description", "agent", "metrics", "gate", "cases", "settings", "digest"}
)


@dataclass(frozen=True, kw_only=True, slots=True)
class GateDefinition:
    """Everything that defines a gate: a set, and digests of the files that it names and of its baseline.

    `files` maps each string of the set that names a file to a digest. `baseline` is the digest of the whole
    file, empty if there is none.
    """

    evalset: EvalSet
    files: Mapping[str, str] = field(default_factory=dict)
    baseline: str = ""


def find_gate_changes(before: GateDefinition, now: GateDefinition) -> tuple[GateChange, ...]:
    """Return what a change edits in the gate; empty if both definitions are the same."""
    old, new = before.evalset, now.evalset
    return (
        *find_rule_changes(old.gate or DEFAULT_GATE, new.gate or DEFAULT_GATE),
        *_setting_changes(old.settings, new.settings),
        *_case_changes(old, new),
        *_metric_changes(before, now),
        *_section_changes(before, now),
        *_baseline_changes(before.baseline, now.baseline),
        *_agent_changes(old, new),
        *find_access_changes(old, new),
    )


def _has_more_trials(before: Json, now: Json) -> bool:
    return isinstance(before, int) and isinstance(now, int) and now >= before


STRICTNESS: Mapping[str, Callable[[Json, Json], bool]] = {
    "max_errors": lambda before, now: now <= before,
    "on_inconclusive": lambda _, now: now == "fail",
    "trials": _has_more_trials,
}
"""Settings with a function that says whether the new value is at least as strict as the old one.

Every edit of another setting, such as the seed, counts as loosening, except those in OPERATIONAL_SETTINGS.
"""


def _setting_changes(before: Mapping[str, Json], now: Mapping[str, Json]) -> Iterator[GateChange]:
    usual = msgspec.to_builtins(Settings())
    old, new = {**usual, **before}, {**usual, **now}
    for name in sorted(old.keys() | new.keys()):
        was, becomes = old.get(name), new.get(name)
        if was == becomes or name in OPERATIONAL_SETTINGS:
            continue
        is_as_strict = STRICTNESS.get(name, lambda *_: False)
        yield GateChange(
            kind="setting",
            sentence=f"{name}: {was} -> {becomes}",
            loosened=not is_as_strict(was, becomes),
        )


def _name_cases(cases: Sequence[Case]) -> str:
    named = ", ".join(case.id for case in cases[:_MAX_NAMED_CASES])
    return (
        f"{named} and {len(cases) - _MAX_NAMED_CASES} more" if cases[_MAX_NAMED_CASES:] else named
    )


def _case_changes(before: EvalSet, now: EvalSet) -> Iterator[GateChange]:
    """Yield edits of cases, which are matched by id and compared by content."""
    old, new = ({case.id: case for case in one.cases} for one in (before, now))
    shared = [(case, new[case.id]) for case in before.cases if case.id in new]
    gate_tags = _find_gate_tags(before) | _find_gate_tags(now)
    retagged = [(set(was.tags) ^ set(case.tags), case) for was, case in shared]
    for_users = any(rule.estimand != "suite" for rule in (*before.gate, *now.gate))
    added = [case for case in now.cases if case.id not in old]
    renamed = _find_renamed([case for case in before.cases if case.id not in new], added)
    yield from _describe_renamed(renamed)
    kept = {case.id for pair in renamed for case in pair}
    groups = (
        (
            "removed",
            True,
            [case for case in before.cases if case.id not in new and case.id not in kept],
        ),
        ("relabeled", True, [case for was, case in shared if was.expected != case.expected]),
        (
            "edited",
            True,
            [c for was, c in shared if was.digest != c.digest and was.expected == c.expected],
        ),
        ("with other tags", True, [case for tags, case in retagged if tags & gate_tags]),
        (
            "with other tags, which no threshold uses",
            False,
            [case for tags, case in retagged if tags and not tags & gate_tags],
        ),
        (
            "in another cluster",
            for_users,
            [case for was, case in shared if was.cluster != case.cluster],
        ),
        ("added", False, [case for case in added if case.id not in kept]),
    )
    for what, loosened, cases in groups:
        if cases:
            yield GateChange(
                kind="case",
                sentence=f"{format_count(len(cases), 'case')} {what}: {_name_cases(cases)}",
                loosened=loosened,
                case_ids=tuple(case.id for case in cases),
                where=cases[0].where,
            )


def _find_renamed(removed: Sequence[Case], added: Sequence[Case]) -> list[tuple[Case, Case]]:
    """Return the cases that only have another id now: input and expected answer are the same."""
    left: dict[tuple[str, str], list[Case]] = defaultdict(list)
    for case in added:
        left[normalize_case(case)].append(case)
    return [(case, same.pop(0)) for case in removed if (same := left[normalize_case(case)])]


def _describe_renamed(pairs: Sequence[tuple[Case, Case]]) -> Iterator[GateChange]:
    """Yield that cases have other ids, without which they cannot be compared with the baseline."""
    if not pairs:
        return
    named = ", ".join(f"{was.id} -> {case.id}" for was, case in pairs[:_MAX_NAMED_CASES])
    more = f" and {len(pairs) - _MAX_NAMED_CASES} more" if pairs[_MAX_NAMED_CASES:] else ""
    yield GateChange(
        kind="case",
        sentence=f"{format_count(len(pairs), 'case')} renamed: {named}{more}",
        loosened=True,
        case_ids=tuple(case.id for _, case in pairs),
        where=pairs[0][1].where,
    )


def _find_gate_tags(evalset: EvalSet) -> set[str]:
    """Return the tags that select cases for a threshold or a metric."""
    rule_tags = {tag for rule in evalset.gate for tag in (*(rule.must_pass or ()), rule.tag) if tag}
    return rule_tags | {tag for spec in evalset.metrics for tag in spec.tags}


def _metric_changes(before: GateDefinition, now: GateDefinition) -> Iterator[GateChange]:
    """Yield edits of metrics, compared case by case: a metric can be defined in the set or in a case."""
    new_cases = {case.id: case for case in now.evalset.cases}
    lost: dict[str, list[Case]] = {}
    gained: dict[str, MetricSpec] = {}
    altered: dict[str, tuple[MetricSpec, MetricSpec]] = {}
    for case in before.evalset.cases:
        after = new_cases.get(case.id)
        if after is None or _specs_text(case.metrics) != _specs_text(after.metrics):
            continue  # _case_changes reports cases that were removed or edited
        old, new = (
            {spec.name: spec for spec in effective_metrics(one.evalset, which)}
            for one, which in ((before, case), (now, after))
        )
        for name in old.keys() - new.keys():
            lost.setdefault(name, []).append(case)
        gained |= {name: new[name] for name in new.keys() - old.keys()}
        for name in old.keys() & new.keys():
            if _build_signature(old[name], case, before.files) != _build_signature(
                new[name], case, now.files
            ):
                altered[name] = (old[name], new[name])
    for name, cases in sorted(lost.items()):
        where = f"{format_count(len(cases), 'case')}: {_name_cases(cases)}"
        yield GateChange(
            kind="metric",
            sentence=f"metric {name}: no longer scores {where}",
            loosened=True,
            case_ids=tuple(case.id for case in cases),
        )
    for name, (was, becomes) in sorted(altered.items()):
        changed = [word for word in before.files if before.files[word] != now.files.get(word)]
        yield _describe_metric(name, was, becomes, changed)
    for name, spec in sorted(gained.items()):
        sentence = f"metric {name}: added"
        yield GateChange(kind="metric", sentence=sentence, loosened=False, where=spec.where)


def _specs_text(specs: Iterable[MetricSpec]) -> str:
    return canonical_json([[spec.name, spec.ref, msgspec.to_builtins(spec.args)] for spec in specs])


def _build_signature(spec: MetricSpec, case: Case, files: Mapping[str, str]) -> Json:
    """Return what defines a metric for a case, with digests of files instead of their names."""
    return _inline_files([spec.ref, msgspec.to_builtins(spec.args)], files, case)


def _inline_files(value: Json, files: Mapping[str, str], case: Case | None = None) -> Json:
    if isinstance(value, str):
        value = expand_name(case, value) if case is not None else value
        # In `./file.py:attribute`, the attribute selects one object of the file, so keep it.
        attribute = value.rpartition(":")[2] if ":" in value else ""
        return [files[value], attribute] if value in files else value
    if isinstance(value, Mapping):
        skipped = {"where"} | ({"path", "line"} if {"path", "line"} <= value.keys() else set())
        return {key: _inline_files(value[key], files, case) for key in value if key not in skipped}
    if isinstance(value, list | tuple):
        return [_inline_files(item, files, case) for item in value]
    return value


def _describe_metric(
    name: str, was: MetricSpec, becomes: MetricSpec, changed_files: Sequence[str]
) -> GateChange:
    text = _specs_text([was])
    if text == _specs_text([becomes]):
        edited = next((word for word in changed_files if canonical_json(word) in text), becomes.ref)
        sentence = f"metric {name}: {edited} was edited, or a file that it uses"
        return GateChange(kind="file", sentence=sentence, loosened=True, where=becomes.where)
    what = f"{was.ref} -> {becomes.ref}" if was.ref != becomes.ref else "its arguments were edited"
    return GateChange(
        kind="metric", sentence=f"metric {name}: {what}", loosened=True, where=becomes.where
    )


def _section_changes(before: GateDefinition, now: GateDefinition) -> Iterator[GateChange]:
    """Yield edits of any other section, such as the judges, which all count as loosening."""
    for one in fields(EvalSet):
        if one.name in _KNOWN_FIELDS:
            continue
        old, new = (
            _inline_files(msgspec.to_builtins(getattr(side.evalset, one.name)), side.files)
            for side in (before, now)
        )
        if old != new:
            yield GateChange(
                kind="section",
                sentence=f"{one.name}: edited, or a file that it names",
                loosened=True,
            )


def _baseline_changes(before: str, now: str) -> Iterator[GateChange]:
    if before == now:
        return
    words = {(True, True): "replaced", (True, False): "removed", (False, True): "added"}
    word = words[bool(before), bool(now)]
    yield GateChange(kind="baseline", sentence=f"the baseline was {word}", loosened=bool(before))


def _agent_changes(before: EvalSet, now: EvalSet) -> Iterator[GateChange]:
    """Yield a switch to recorded outputs, and lower prices.

    The agent may change freely, but a recording tests no agent, and the costs of one that reports none
    follow from its prices.
    """
    old, new = (one.agent.kind if one.agent else "none" for one in (before, now))
    if new == "recorded" != old:
        yield GateChange(
            kind="agent",
            sentence=f"agent: {old} -> {new}, which only replays recorded outputs",
            loosened=True,
            where=now.agent.where if now.agent else NO_LOCATION,
        )
    was, becomes = (one.agent.prices if one.agent else {} for one in (before, now))
    lower = sorted(name for name in was.keys() & becomes.keys() if becomes[name] < was[name])
    # Without a price, a cost is unreported, which counts against thresholds of costs.
    if lower and now.agent:
        shown = ", ".join(f"{name} {was[name]:g} -> {becomes[name]:g}" for name in lower)
        yield GateChange(
            kind="agent",
            sentence=f"prices: {shown} USD per million tokens, by which the same tokens cost less",
            loosened=True,
            where=now.agent.where,
        )
