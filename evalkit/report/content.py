"""Turn a run and its gate result into the numbers, words, and rows that all reports share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from evalkit.compare.preferences import describe_preferences
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
from evalkit.core.literals import Outcome
from evalkit.core.run import Run, RunHeader
from evalkit.report.cached_answers import count_cached_answers
from evalkit.report.judge_calls import judge_text

NO_VALUE = "-"

OUTCOME_WORDS: dict[Outcome, str] = {
    "pass": "PASS",
    "fail": "FAIL",
    "inconclusive": "INCONCLUSIVE",
    "undecided": "UNDECIDED",
}

URGENCY: tuple[Outcome, ...] = ("fail", "undecided", "inconclusive", "pass")


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


def interval_cell(low: float | None, high: float | None, unit: str) -> str:
    """Return an interval, with a unit only after its second number; empty if an end is unknown.

    >>> interval_cell(0.7, 0.8, ""), interval_cell(1.0, 2.0, "s"), interval_cell(1.0, None, "s")
    ('70.0% to 80.0%', '1.00 to 2.00 s', '')
    """
    if low is None or high is None:
        return ""
    return f"{value_cell(low, unit).removesuffix(f' {unit}')} to {value_cell(high, unit)}"


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
    """Return the limit of a threshold."""
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
    """Return the cells of a threshold for the baseline, this run, and the change."""
    rule = check.rule
    if not rule.metric:
        is_counted = check.candidate is not None
        counted = f"{check.candidate:,.0f} of {check.cases:,}" if is_counted else NO_VALUE
        return NO_VALUE, counted, NO_VALUE
    bounds = [bound for bound in (rule.min, rule.max) if bound is not None]
    baseline = value_cell(check.baseline, unit, limits=bounds)
    candidate = value_cell(check.candidate, unit, limits=bounds)
    signed = ((rule.max_drop, -1), (rule.max_rise, 1))
    limits = [sign * limit for limit, sign in signed if limit is not None]
    return baseline, candidate, change_cell(check.difference, unit, limits=limits)


def gate_reason(gate_result: GateResult) -> str:
    """Return the reason of a gate result without the outcome word, which reports show before it."""
    return gate_result.reason.removeprefix(f"{gate_result.word} ")


def outcome_word(check: Check) -> str:
    """Return a threshold's outcome, marked if the threshold is advisory."""
    word = OUTCOME_WORDS[check.outcome]
    return f"{word} (advisory)" if check.advisory else word


def checks_by_urgency(gate_result: GateResult) -> list[Check]:
    """Return the thresholds: failed ones first, advisory ones last, otherwise in the order of the gate."""
    return sorted(
        gate_result.checks,
        key=lambda check: (bool(check.advisory), URGENCY.index(check.outcome)),
    )


def unreported_checks(gate_result: GateResult) -> list[Check]:
    """Return the thresholds that did not pass and that the reason does not quote."""
    return [
        check
        for check in checks_by_urgency(gate_result)
        if check.outcome != "pass" and check.sentence not in gate_result.reason
    ]


def check_sentence(check: Check) -> str:
    """Return the sentence of a threshold, with what would decide it if it is inconclusive."""
    sentence = check.sentence
    if check.to_decide and check.to_decide not in sentence:
        sentence = f"{sentence} {check.to_decide}"
    return f"{sentence} Advisory: it does not affect the result." if check.advisory else sentence


def unit_of(header: RunHeader, check: Check) -> str:
    """Return the unit of the numbers of a threshold; a pass rate has none."""
    if check.rule.stat == "rate":
        return ""
    return {metric.name: metric.unit for metric in header.metrics}.get(check.rule.metric, "")


def _version(header: RunHeader) -> str:
    return f"version {header.agent_version}" if header.agent_version else "no version"


def run_rows(run: Run, gate_result: GateResult, baseline: Run | None) -> list[tuple[str, str]]:
    """Return labels and texts about a run: agent, baseline, gate, size, and cost."""
    header = run.header
    rows = [("agent", f"{header.agent_entrypoint}, {_version(header)}")]
    if baseline is not None:
        base = baseline.header
        trials = format_count(base.trials, "trial")
        rows.append(("baseline", f"{_version(base)}, {trials} per case, {base.created[:10]}"))
    if gate_result.gate is not None:
        rows.append(("gate", _gate_row_text(gate_result.gate)))
    rows.append(("run", f"{header.id}, {_scope_text(header)}"))
    if header.scored_from:
        rows.append(("outputs", f"of run {header.scored_from}, scored again"))
    trials_run = (*run.trials, *run.fresh)
    if cached := count_cached_answers(run):
        rows.append(("cache", cached.sentence))
    if run.trust is not None:
        rows.append(("judge", judge_text(run.trust)))
    counts = {str(state): count for state, count in gate_result.tally.counts.items()}
    parts = [format_missing(counts) or "no trials"]
    costs = [t.output.cost_usd for t in trials_run if t.output.cost_usd is not None]
    if costs:
        parts.append(value_cell(sum(costs), "usd"))
    if not run.finished:
        parts.append("unfinished")
    rows.append(("result", f"{', '.join(parts)}; exit code {gate_result.exit_code}"))
    return rows


def _scope_text(header: RunHeader) -> str:
    """Return the number of cases and trials of a run, and the part of the set that it selected."""
    scope = f"{format_count(len(header.cases), 'case')} x {header.trials_text}"
    if header.fresh:
        fresh = format_count(sum(header.fresh.values()), "fresh trial")
        scope += f" and {fresh} of {format_count(len(header.fresh), 'case')}"
    if header.selection or len(header.cases) < header.cases_in_set:
        whole = format_count(header.cases_in_set, "case")
        scope += f" of a set of {whole} {header.selection}".rstrip()
    return scope


def _gate_row_text(review: GateReview) -> str:
    """Return which version of the gate decided, and how many edits the change makes to it."""
    edits = format_count(len(review.changes), "edit") if review.changes else "no edits"
    loosens = f", {len(review.loosening):,} loosening" if review.loosening else ""
    source = "as edited, compared with" if review.accepted else "as of"
    return f"{source} {review.base}; {edits}{loosens}"


def gate_rows(gate_result: GateResult) -> list[tuple[str, str]]:
    """Return a word and a sentence for each edit of the gate, loosening edits first."""
    review = gate_result.gate
    if review is None:
        return []
    word = "accepted" if review.accepted else "LOOSENS"
    edits = sorted(review.changes, key=lambda change: not change.loosened)
    return [(word if edit.loosened else "allowed", str(edit)) for edit in edits]


def _spread_text(summary: MetricSummary) -> str:
    if summary.unit:
        points = (("p50", summary.p50), ("p95", summary.p95))
        return ", ".join(
            f"{name} {value_cell(value, summary.unit)}"
            for name, value in points
            if value is not None
        )
    parts = [describe_preferences(counts)] if (counts := summary.preference) else []
    if summary.rate is not None and summary.rate != summary.mean:
        parts.append(f"{value_cell(summary.rate, '')} passed")
    if people := summary.people:
        low, high = value_cell(people.low, ""), value_cell(people.high, "")
        mean = value_cell(people.mean, "")
        parts.append(f"people {mean} ({low} to {high}, {people.cases} labeled)")
    return ", ".join(parts)


def _scored_text(summary: MetricSummary) -> str:
    """Return how many trials have a value, and why the others have none."""
    missing = format_missing(summary.missing)
    return f"{summary.scored:,} of {summary.due:,} scored{', ' if missing else ''}{missing}"


def metric_rows(gate_result: GateResult) -> list[tuple[str, str, str, str]]:
    """Return the name, mean over cases, distribution, and number of scored trials of each metric.

    The second text also has each other estimate of the mean that a threshold shows, and what it is of.
    """
    return [
        (
            summary.metric,
            value_cell(summary.mean, summary.unit),
            ", ".join(filter(None, (_spread_text(summary), *_other_means(summary, gate_result)))),
            _scored_text(summary),
        )
        for summary in gate_result.summaries
        if summary.tag is None
    ]


def _other_means(summary: MetricSummary, gate_result: GateResult) -> Iterator[str]:
    """Yield the means of a metric that thresholds show and that differ from its mean over all cases."""
    shown = {value_cell(summary.mean, summary.unit)}
    for check in gate_result.checks:
        rule = check.rule
        if (rule.metric, rule.tag, rule.stat) != (summary.metric, None, "mean"):
            continue
        text = value_cell(check.candidate, summary.unit)
        if check.candidate is not None and text not in shown:
            shown.add(text)
            cases = format_count(check.cases, "case")
            yield f"{text} {'in a typical case' if summary.unit else f'over the {cases} compared'}"


def _change_severity(change: MetricChange | None) -> float:
    if change is None or change.difference is None:
        return 0.0
    return -change.difference if change.higher_is_better else change.difference


def tag_rows(
    header: RunHeader, gate_result: GateResult, max_metrics: int
) -> tuple[list[str], list[list[str]]]:
    """Return titles, and a row for each tag with its cases and means, largest drop first."""
    tagged = {
        (s.tag, s.metric): s for s in gate_result.summaries if s.tag is not None and not s.unit
    }
    metrics = list(dict.fromkeys(metric for _, metric in tagged))[:max_metrics]
    compared = gate_result.comparison.metrics if gate_result.comparison else ()
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
