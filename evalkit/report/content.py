"""Turn a judged run into the numbers, words, and rows that every report shares."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from evalkit.compare.call_stats import CallStats
from evalkit.core.eval_set import Rule
from evalkit.core.format import (
    find_distinct_digits,
    format_bound,
    format_change,
    format_count,
    format_limit,
    format_missing,
    format_value,
)
from evalkit.core.gate_result import Check, GateResult, GateReview, MetricChange, MetricSummary
from evalkit.core.judgement import JudgeTrust
from evalkit.core.literals import Outcome
from evalkit.core.run import Run, RunHeader
from evalkit.core.spans import CACHED

NO_VALUE = "-"
CALL_TITLES = ("", "calls", "failed", "p50", "p95", "p99", "used")

OUTCOME_WORDS: dict[Outcome, str] = {
    "pass": "PASS",
    "fail": "FAIL",
    "inconclusive": "INCONCLUSIVE",
    "undecided": "UNDECIDED",
}

_URGENCY: tuple[Outcome, ...] = ("fail", "undecided", "inconclusive", "pass")


def value_cell(value: float | None, unit: str, *, limits: Iterable[float] = ()) -> str:
    """Return a metric's value in its unit, with enough digits to differ from every limit.

    A share is a percentage. It reads 0% or 100% only when it is exactly 0 or 1.

    >>> value_cell(0.8996, "", limits=[0.9]), value_cell(0.9999, ""), value_cell(1.3081, "s")
    ('89.96%', '99.99%', '1.31 s')
    """
    if value is None:
        return NO_VALUE
    extra = find_distinct_digits(
        [(value, limit) for limit in (limits if unit else (0.0, 1.0, *limits))],
        lambda number, digits: format_value(number, unit, digits),
    )
    return format_value(value, unit, extra)


def change_cell(change: float | None, unit: str, *, limits: Iterable[float] = ()) -> str:
    """Return a signed change: in points of a share, or in percent of a metric that has a unit.

    >>> change_cell(-0.054, ""), change_cell(0.0919, "s")
    ('-5.4 pt', '+9.2%')
    """
    if change is None:
        return NO_VALUE
    extra = find_distinct_digits(
        [(change, limit) for limit in limits],
        lambda number, digits: format_change(number, unit, digits),
    )
    return format_change(change, unit, extra)


def limit_cell(rule: Rule, unit: str) -> str:
    """Return a threshold's limit as it was written."""
    if rule.max_regressed is not None:
        return f"max {rule.max_regressed:,}"
    if rule.broken_cases is not None:
        return f"max {rule.broken_cases:,}"
    if rule.must_pass is not None:
        return "every trial"
    for word, bound in (("min", rule.min), ("max", rule.max)):
        if bound is not None:
            return f"{word} {format_bound(bound, unit)}"
    for word, change in (("drop", rule.max_drop), ("rise", rule.max_rise)):
        if change is not None:
            return f"max {word} {format_limit(change, unit)}"
    return NO_VALUE


def check_cells(check: Check, unit: str) -> tuple[str, str, str]:
    """Return the baseline, this run, and the change of a decided threshold."""
    rule = check.rule
    if not rule.metric:
        counted = NO_VALUE if check.candidate is None else f"{check.candidate:,.0f}"
        return NO_VALUE, f"{counted} of {check.cases:,}", NO_VALUE
    bounds = [bound for bound in (rule.min, rule.max) if bound is not None]
    baseline = value_cell(check.baseline, unit, limits=bounds)
    candidate = value_cell(check.candidate, unit, limits=bounds)
    signed = ((rule.max_drop, -1), (rule.max_rise, 1))
    limits = [sign * limit for limit, sign in signed if limit is not None]
    return baseline, candidate, change_cell(check.difference, unit, limits=limits)


def verdict_reason(verdict: GateResult) -> str:
    """Return the verdict's reason without the outcome word, which every report puts before it."""
    return verdict.reason.removeprefix(f"{OUTCOME_WORDS[verdict.outcome]} ")


def outcome_word(check: Check) -> str:
    """Return a threshold's outcome, marked if the threshold is advisory."""
    word = OUTCOME_WORDS[check.outcome]
    return f"{word} (advisory)" if check.advisory else word


def checks_by_urgency(verdict: GateResult) -> list[Check]:
    """Return the thresholds, failed ones first and advisory ones last, else in gate order."""
    return sorted(
        verdict.checks,
        key=lambda check: (bool(check.advisory), _URGENCY.index(check.outcome)),
    )


def unreported_checks(verdict: GateResult) -> list[Check]:
    """Return the thresholds that did not pass and whose sentence is not part of the reason."""
    return [
        check
        for check in checks_by_urgency(verdict)
        if check.outcome != "pass" and check.sentence not in verdict.reason
    ]


def check_sentence(check: Check) -> str:
    """Return the result of a threshold and, if it is not settled, what would settle it."""
    sentence = check.sentence
    if check.to_decide and check.to_decide not in sentence:
        sentence = f"{sentence} {check.to_decide}"
    return f"{sentence} Advisory, it decides nothing." if check.advisory else sentence


def unit_of(header: RunHeader, check: Check) -> str:
    """Return the unit of a threshold's numbers; a pass rate has none."""
    if check.rule.stat == "rate":
        return ""
    return {metric.name: metric.unit for metric in header.metrics}.get(check.rule.metric, "")


def _version(header: RunHeader) -> str:
    return f"version {header.agent_version}" if header.agent_version else "no version"


def run_rows(run: Run, verdict: GateResult, baseline: Run | None) -> list[tuple[str, str]]:
    """Return label and text of each fact about a run: agent, baseline, gate, size, cost."""
    header = run.header
    rows = [("agent", f"{header.agent_entrypoint}, {_version(header)}")]
    if baseline is not None:
        base = baseline.header
        trials = format_count(base.trials, "trial")
        rows.append(("baseline", f"{_version(base)}, {trials} a case, {base.created[:10]}"))
    if verdict.gate is not None:
        rows.append(("gate", _gate_row_text(verdict.gate)))
    rows.append(("run", f"{header.id}, {_scope_text(header)}"))
    if header.scored_from:
        rows.append(("outputs", f"of run {header.scored_from}, scored again"))
    trials_run = (*run.trials, *run.fresh)
    cached = sum(CACHED in trial.output.flags for trial in trials_run)
    if cached:
        answers = format_count(len(trials_run), "answer")
        rows.append(("cache", f"{cached:,} of {answers} kept from earlier runs"))
    if run.trust is not None:
        rows.append(("judge", _judge_text(run.trust)))
    counts = {str(state): count for state, count in verdict.tally.counts.items()}
    parts = [format_missing(counts) or "no trials"]
    costs = [t.output.cost_usd for t in trials_run if t.output.cost_usd is not None]
    if costs:
        parts.append(value_cell(sum(costs), "usd"))
    if not run.finished:
        parts.append("unfinished")
    rows.append(("result", f"{', '.join(parts)}; exit code {verdict.exit_code}"))
    return rows


def _scope_text(header: RunHeader) -> str:
    """Return how many cases and trials a run has, and of which part of the set."""
    scope = f"{format_count(len(header.cases), 'case')} x {format_count(header.trials, 'trial')}"
    if header.fresh:
        fresh = format_count(sum(header.fresh.values()), "fresh trial")
        scope += f" and {fresh} of {format_count(len(header.fresh), 'case')}"
    if header.selection or len(header.cases) < header.cases_in_set:
        whole = format_count(header.cases_in_set, "case")
        scope += f" of a set of {whole} {header.selection}".rstrip()
    return scope


def _judge_text(trust: JudgeTrust) -> str:
    """Return who judged, the calls and cost, and how many known answers were judged right."""
    parts = [", then ".join(trust.judges) or "nobody was asked"]
    if trust.models:
        parts.append(f"answering as {' and '.join(trust.models)}")
    if trust.calls:
        parts.append(format_count(trust.calls, "call"))
    if trust.cost_usd is not None:
        parts.append(value_cell(trust.cost_usd, "usd"))
    if trust.controls:
        held = len(trust.controls) - len(trust.failed_controls)
        parts.append(f"{held} of {format_count(len(trust.controls), 'control')} held")
    anchors = [agreed for result in trust.anchors for agreed in result.agreed.values()]
    if anchors:
        total = format_count(len(anchors), "anchor")
        parts.append(f"agreed with people on {sum(anchors)} of {total}")
    return ", ".join(parts)


def _gate_row_text(review: GateReview) -> str:
    """Return whose gate definition decided, and how many edits the change makes to it."""
    edits = format_count(len(review.changes), "edit") if review.changes else "no edits"
    loosening = f", {len(review.loosening):,} of them loosening" if review.loosening else ""
    whose = "this change's own, compared with" if review.accepted else "as at"
    return f"{whose} {review.base}; {edits}{loosening}"


def gate_rows(verdict: GateResult) -> list[tuple[str, str]]:
    """Return the consequence and the sentence of each edit of the gate, loosening edits first."""
    review = verdict.gate
    if review is None:
        return []
    word = "accepted" if review.accepted else "LOOSENS"
    edits = sorted(review.changes, key=lambda change: not change.loosened)
    return [(word if edit.loosened else "allowed", edit.sentence) for edit in edits]


def _spread_text(summary: MetricSummary) -> str:
    if summary.unit:
        points = (("p50", summary.p50), ("p95", summary.p95))
        return ", ".join(
            f"{name} {value_cell(value, summary.unit)}"
            for name, value in points
            if value is not None
        )
    parts = []
    if summary.rate is not None and summary.rate != summary.mean:
        parts.append(f"{value_cell(summary.rate, '')} passed")
    if people := summary.people:
        low, high = value_cell(people.low, ""), value_cell(people.high, "")
        mean = value_cell(people.mean, "")
        parts.append(f"people {mean} ({low} to {high}, {people.cases} labeled)")
    return ", ".join(parts)


def _scored_text(summary: MetricSummary) -> str:
    """Return how many of the due trials have a value, and why the others have none."""
    missing = format_missing(summary.missing)
    return f"{summary.scored:,} of {summary.due:,} scored{', ' if missing else ''}{missing}"


def metric_rows(verdict: GateResult) -> list[tuple[str, str, str, str]]:
    """Return name, mean, spread, and number of scored trials of each metric."""
    return [
        (
            summary.metric,
            value_cell(summary.mean, summary.unit),
            _spread_text(summary),
            _scored_text(summary),
        )
        for summary in verdict.summaries
        if summary.tag is None
    ]


def call_rows(summaries: Iterable[CallStats]) -> list[tuple[str, ...]]:
    """Return a row under `CALL_TITLES` for each tool and model."""
    rows = []
    for calls in summaries:
        used = []
        if calls.input_tokens is not None or calls.output_tokens is not None:
            used.append(f"{(calls.input_tokens or 0) + (calls.output_tokens or 0):,} tokens")
        if calls.cost_usd is not None:
            used.append(value_cell(calls.cost_usd, "usd"))
        rows.append(
            (
                f"{calls.kind} {calls.name}",
                f"{calls.calls:,}",
                value_cell(calls.error_rate, ""),
                *(value_cell(value, "s") for value in (calls.p50_s, calls.p95_s, calls.p99_s)),
                ", ".join(used) or NO_VALUE,
            )
        )
    return rows


def _change_severity(change: MetricChange | None) -> float:
    if change is None or change.difference is None:
        return 0.0
    return -change.difference if change.higher_is_better else change.difference


def tag_rows(
    header: RunHeader, verdict: GateResult, max_metrics: int
) -> tuple[list[str], list[list[str]]]:
    """Return titles and rows, largest drop first: tag, cases, and each mean with its change."""
    tagged = {(s.tag, s.metric): s for s in verdict.summaries if s.tag is not None and not s.unit}
    metrics = list(dict.fromkeys(metric for _, metric in tagged))[:max_metrics]
    compared = verdict.comparison.metrics if verdict.comparison else ()
    changes = {(change.tag, change.metric): change for change in compared}

    def drop(tag: str) -> float:
        return max(_change_severity(changes.get((tag, metric))) for metric in metrics)

    def cell(tag: str, metric: str) -> str:
        summary, change = tagged.get((tag, metric)), changes.get((tag, metric))
        if summary is None or summary.mean is None:
            return NO_VALUE
        mean = value_cell(summary.mean, "")
        if change is None or not change.difference:
            return mean
        return f"{mean} ({change_cell(change.difference, '')})"

    sizes = Counter(tag for case in header.cases for tag in case.tags)
    tags = dict.fromkeys(str(tag) for tag, _ in tagged)
    rows = [
        [tag, f"{sizes[tag]:,}", *(cell(tag, metric) for metric in metrics)]
        for tag in sorted(tags, key=drop, reverse=True)
    ]
    return ["", "cases", *metrics], rows
