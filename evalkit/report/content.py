"""What every report says of a judged run, as plain words and rows, whatever it is rendered to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from evalkit.compare.call_stats import CallStats
from evalkit.core.format import format_count, format_missing
from evalkit.core.gate_result import Check, GateResult, GateReview, MetricChange, MetricSummary
from evalkit.core.judgement import JudgeTrust
from evalkit.core.literals import Outcome
from evalkit.core.run import RunHeader
from evalkit.core.spans import CACHED
from evalkit.report.model import Report
from evalkit.report.numbers import NO_VALUE, change_cell, value_cell

_URGENCY: tuple[Outcome, ...] = ("fail", "undecided", "inconclusive", "pass")


OUTCOME_WORDS: dict[Outcome, str] = {
    "pass": "PASS",
    "fail": "FAIL",
    "inconclusive": "INCONCLUSIVE",
    "undecided": "UNDECIDED",
}


def verdict_reason(verdict: GateResult) -> str:
    """The verdict's reason without the outcome's word, which every report puts before it."""
    return verdict.reason.removeprefix(f"{OUTCOME_WORDS[verdict.outcome]} ")


def outcome_word(check: Check) -> str:
    """What a threshold came to, and whether that decides anything."""
    word = OUTCOME_WORDS[check.outcome]
    return f"{word} (advisory)" if check.advisory else word


def checks_by_urgency(verdict: GateResult) -> list[Check]:
    """The thresholds, failed ones first and advisory ones last, else in the order of the gate."""
    return sorted(
        verdict.checks,
        key=lambda check: (bool(check.advisory), _URGENCY.index(check.outcome)),
    )


def unreported_checks(verdict: GateResult) -> list[Check]:
    """The thresholds that did not pass, unless the verdict's reason says their sentence already."""
    return [
        check
        for check in checks_by_urgency(verdict)
        if check.outcome != "pass" and check.sentence not in verdict.reason
    ]


def check_sentence(check: Check) -> str:
    """What a threshold came to, and what would settle it if it is not settled."""
    sentence = check.sentence
    if check.to_decide and check.to_decide not in sentence:
        sentence = f"{sentence} {check.to_decide}"
    return f"{sentence} Advisory, it decides nothing." if check.advisory else sentence


def unit_of(report: Report, check: Check) -> str:
    """The unit of a threshold's numbers: the metric's, but none for the share that passed."""
    if check.rule.stat == "rate":
        return ""
    units = {metric.name: metric.unit for metric in report.run.header.metrics}
    return units.get(check.rule.metric, "")


def _version(header: RunHeader) -> str:
    return f"version {header.agent_version}" if header.agent_version else "no version"


def run_rows(report: Report) -> list[tuple[str, str]]:
    """Label and text: which agent ran, what it is compared with, how much was run, at what cost."""
    header = report.run.header
    facts = [("agent", f"{header.agent_entrypoint}, {_version(header)}")]
    if report.baseline is not None:
        base = report.baseline.header
        trials = format_count(base.trials, "trial")
        facts.append(("baseline", f"{_version(base)}, {trials} a case, {base.created[:10]}"))
    if report.gate_result.gate is not None:
        facts.append(("gate", _gate_row_text(report.gate_result.gate)))
    scope = f"{format_count(len(header.cases), 'case')} x {format_count(header.trials, 'trial')}"
    if header.fresh:
        again = format_count(sum(header.fresh.values()), "fresh trial")
        scope += f" and {again} of {format_count(len(header.fresh), 'case')}"
    if header.selection or len(header.cases) < header.cases_in_set:
        scope += (
            f" of a set of {format_count(header.cases_in_set, 'case')} {header.selection}".rstrip()
        )
    facts.append(("run", f"{header.id}, {scope}"))
    if header.scored_from:
        facts.append(("outputs", f"of run {header.scored_from}, scored again"))
    every = (*report.run.trials, *report.run.fresh)
    cached = sum(CACHED in trial.output.flags for trial in every)
    if cached:
        facts.append(
            ("cache", f"{cached:,} of {format_count(len(every), 'answer')} kept from earlier runs")
        )
    if report.run.trust is not None:
        facts.append(("judge", judge_text(report.run.trust)))
    counts = {str(state): count for state, count in report.gate_result.tally.counts.items()}
    parts = [format_missing(counts) or "no trials"]
    costs = [t.output.cost_usd for t in every if t.output.cost_usd is not None]
    if costs:
        parts.append(value_cell(sum(costs), "usd"))
    if not report.run.finished:
        parts.append("unfinished")
    facts.append(("result", f"{', '.join(parts)}; exit code {report.gate_result.exit_code}"))
    return facts


def judge_text(trust: JudgeTrust) -> str:
    """Who judged, what it took, and how many known answers were judged right."""
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
        parts.append(
            f"agreed with people on {sum(anchors)} of {format_count(len(anchors), 'anchor')}"
        )
    return ", ".join(parts)


def _gate_row_text(review: GateReview) -> str:
    """Whose rules decided, and how much of them the change edits."""
    edits = format_count(len(review.changes), "edit") if review.changes else "no edits"
    loosening = f", {len(review.loosening):,} of them loosening" if review.loosening else ""
    whose = "this change's own, compared with" if review.accepted else "as at"
    return f"{whose} {review.base}; {edits}{loosening}"


def gate_rows(verdict: GateResult) -> list[tuple[str, str]]:
    """What a change edits in its gate, loosening edits first: what that means, and what was edited."""
    review = verdict.gate
    if review is None:
        return []
    word = "accepted" if review.accepted else "LOOSENS"
    edits = sorted(review.changes, key=lambda change: not change.loosened)
    return [(word if edit.loosened else "allowed", edit.sentence) for edit in edits]


def _spread_text(summary: MetricSummary) -> str:
    if not summary.unit:
        differs = summary.rate is not None and summary.rate != summary.mean
        passed = f"{value_cell(summary.rate, '')} passed" if differs else ""
        return ", ".join(filter(None, (passed, _human_mean_text(summary))))
    points = (("p50", summary.p50), ("p95", summary.p95))
    return ", ".join(
        f"{name} {value_cell(value, summary.unit)}" for name, value in points if value is not None
    )


def _human_mean_text(summary: MetricSummary) -> str:
    people = summary.people
    if people is None:
        return ""
    low, high = value_cell(people.low, ""), value_cell(people.high, "")
    return f"people {value_cell(people.mean, '')} ({low} to {high}, {people.cases} labelled)"


def _scored_text(summary: MetricSummary) -> str:
    """How many of the trials that were due have a value, and why the others have none."""
    missing = format_missing(summary.missing)
    return f"{summary.scored:,} of {summary.due:,} scored{', ' if missing else ''}{missing}"


def metric_rows(verdict: GateResult) -> list[tuple[str, str, str, str]]:
    """Per metric: name, mean, spread, accounting."""
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


CALL_TITLES = ("", "calls", "failed", "p50", "p95", "p99", "used")


def call_rows(summaries: Iterable[CallStats]) -> list[tuple[str, ...]]:
    """Per tool and per model what stands under the titles: seconds, and for models tokens and cost."""
    rows = []
    for calls in summaries:
        used = []
        if calls.input_tokens is not None or calls.output_tokens is not None:
            used.append(f"{(calls.input_tokens or 0) + (calls.output_tokens or 0):,} tokens")
        if calls.cost_usd is not None:
            used.append(value_cell(calls.cost_usd, "usd"))
        failed = value_cell(calls.error_rate, "")
        took = (value_cell(value, "s") for value in (calls.p50_s, calls.p95_s, calls.p99_s))
        rows.append(
            (
                f"{calls.kind} {calls.name}",
                f"{calls.calls:,}",
                failed,
                *took,
                ", ".join(used) or NO_VALUE,
            )
        )
    return rows


def _change_severity(change: MetricChange | None) -> float:
    if change is None or change.difference is None:
        return 0.0
    return -change.difference if change.higher_is_better else change.difference


def tag_rows(report: Report, most_metrics: int) -> tuple[list[str], list[list[str]]]:
    """Titles and rows, the largest drop first: tag, cases, and the mean of each share with its change."""
    verdict = report.gate_result
    tagged: dict[tuple[str | None, str], MetricSummary] = {
        (s.tag, s.metric): s for s in verdict.summaries if s.tag is not None and not s.unit
    }
    metrics = list(dict.fromkeys(metric for _, metric in tagged))[:most_metrics]
    tags = list(dict.fromkeys(tag for tag, _ in tagged))
    compared = verdict.comparison.metrics if verdict.comparison else ()
    changes = {(change.tag, change.metric): change for change in compared}

    def drop(tag: str | None) -> float:
        return max(_change_severity(changes.get((tag, metric))) for metric in metrics)

    def cell(tag: str | None, metric: str) -> str:
        summary = tagged.get((tag, metric))
        change = changes.get((tag, metric))
        if summary is None or summary.mean is None:
            return NO_VALUE
        if change is None or not change.difference:
            return value_cell(summary.mean, "")
        return f"{value_cell(summary.mean, '')} ({change_cell(change.difference, '')})"

    sizes = _cases_by_tag(report)
    rows = [
        [str(tag), f"{sizes[str(tag)]:,}", *(cell(tag, metric) for metric in metrics)]
        for tag in sorted(tags, key=drop, reverse=True)
    ]
    return ["", "cases", *metrics], rows


def _cases_by_tag(report: Report) -> Counter[str]:
    return Counter(tag for case in report.run.header.cases for tag in case.tags)
