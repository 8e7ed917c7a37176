"""`evalkit traffic gate`: decide by thresholds whether traffic got worse than earlier traffic."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import date

from evalkit.ci.acceptance import refuse_other_commit
from evalkit.ci.base import GateChoice
from evalkit.ci.traffic_base import choose_traffic_section
from evalkit.commands.gate_result import accept_result, apply_gate_review
from evalkit.compare.estimates import QUANTILE_LEVELS
from evalkit.core.context import Context
from evalkit.core.errors import InvalidInput
from evalkit.core.eval_set import Rule, TrafficSection
from evalkit.core.location import Problem
from evalkit.evalset.project import Project
from evalkit.traffic.alignment import Aligned, align, describe_immaturity
from evalkit.traffic.coverage import FEEDBACK_MEASURES, describe_coverage
from evalkit.traffic.gate_data import open_period
from evalkit.traffic.gate_records import RuleData
from evalkit.traffic.gate_result import TrafficGate, decide_traffic
from evalkit.traffic.measures import Measure, find_measure
from evalkit.traffic.periods import TrafficFilter


@dataclass(frozen=True, kw_only=True, slots=True)
class TrafficGateRequest:
    """The traffic to decide, and what to compare it with; `choice` says where the thresholds come from."""

    name: str
    against: tuple[str, ...]
    chosen: TrafficFilter
    against_chosen: TrafficFilter
    choice: GateChoice


def gate_traffic(request: TrafficGateRequest, context: Context) -> TrafficGate:
    """Decide the thresholds of the section `traffic:` of the project.

    Raises:
        InvalidInput: the section, a measure, or a name is wrong, or both sides have the same requests.
        NothingSelected: no request matches on a side.
        ApprovalNeeded: the section at the base can no longer be read.
    """
    project = Project.open(context)
    refuse_other_commit(request.choice.acceptance, project)
    definition = choose_traffic_section(request.choice, project, context)
    section = definition.section
    measures = find_measures(section.gate)
    used = tuple(dict.fromkeys(measures.values()))
    with ExitStack() as stack:
        sides = [
            stack.enter_context(open_period(project.root, name, chosen, used, section.maturity_h))
            for name, chosen in (
                (request.name, request.chosen),
                *((name, request.against_chosen) for name in request.against),
            )
        ]
        aligned = align(sides[0], sides[1:])
        datas = _read_rules(section, measures, aligned)
        if aligned.has_mixed:
            others = _read_rules(section, measures, aligned.include_mixed())
            datas = [
                replace(data, with_mixed=other) for data, other in zip(datas, others, strict=True)
            ]
        gate = decide_traffic(
            section,
            datas,
            aligned.candidate.period,
            [each.period for each in aligned.earlier],
            is_concurrent=aligned.is_concurrent,
        )
    result = replace(gate.result, definition=definition.definition)
    if definition.review is not None:
        result = apply_gate_review(result, definition.review)
    return replace(gate, result=accept_result(result, request.choice.acceptance))


def parse_days(text: str | None) -> tuple[date | None, date | None]:
    """Return the first and the last day of `--days 2026-11-23..2026-11-29`; one day alone is both.

    Raises:
        InvalidInput: it is neither.
    """
    if text is None:
        return None, None
    first, dots, last = text.partition("..")
    try:
        days = date.fromisoformat(first), date.fromisoformat(last if dots else first)
    except ValueError:
        days = None
    if days is None or days[0] > days[1]:
        raise InvalidInput.single(
            f"--days {text!r}: write FIRST..LAST, for example 2026-11-23..2026-11-29."
        )
    return days


def find_measures(rules: Sequence[Rule]) -> Mapping[str, Measure]:
    """Return the measures of the thresholds by name.

    Raises:
        InvalidInput: a name is unknown, or a limit does not fit its measure.
    """
    problems = [
        Problem(message=f"traffic: gate: {message}", where=rule.where)
        for rule in rules
        if (message := _explain_misuse(rule))
    ]
    if problems:
        raise InvalidInput(problems)
    return {rule.metric: find_measure(rule.metric) for rule in rules}


def _explain_misuse(rule: Rule) -> str:
    try:
        measure = find_measure(rule.metric)
    except InvalidInput as error:
        return str(error)
    is_higher, is_lower = measure.better == "higher", measure.better == "lower"
    if rule.max_rise is not None and is_higher:
        return f"{rule.metric} is better when it is higher. Use max_drop, or min."
    if rule.max_drop is not None and is_lower:
        return f"{rule.metric} is better when it is lower. Use max_rise, or max."
    if rule.stat not in measure.stats:
        return (
            f"{rule.metric} has no {rule.stat}, because a request has no value of it. Remove stat."
        )
    if rule.and_at_least is not None and measure.kind == "rate":
        return f"and_at_least is for measures with a unit. The limits of {rule.metric} are points already."
    return ""


def _read_rules(
    section: TrafficSection, measures: Mapping[str, Measure], aligned: Aligned
) -> list[RuleData]:
    return [_read_data(rule, measures[rule.metric], aligned, section) for rule in section.gate]


def _read_data(rule: Rule, measure: Measure, aligned: Aligned, section: TrafficSection) -> RuleData:
    by_request = rule.stat in QUANTILE_LEVELS
    traffic = aligned.candidate if rule.compares else aligned.whole
    candidate = traffic.read_side(measure, by_request=by_request)
    others = tuple(each.read_side(measure, by_request=by_request) for each in aligned.earlier)
    problems = [*describe_coverage(rule, measure, candidate, others)]
    if measure.name in FEEDBACK_MEASURES:
        periods = [aligned.candidate.period]
        periods += [each.period for each in aligned.earlier] if rule.compares else []
        problems += [
            text for each in periods if (text := describe_immaturity(each, section.maturity_h))
        ]
    return RuleData(
        rule=rule,
        measure=measure,
        candidate=candidate,
        earlier=others if rule.compares else (),
        is_concurrent=aligned.is_concurrent,
        shared_problems=(
            *aligned.problems,
            *(aligned.comparison_problems if rule.compares else ()),
        ),
        problems=tuple(problems),
    )
