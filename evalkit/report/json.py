"""Render a run as one strict JSON document, and build the parts that other documents share.

Data is not changed, because JSON escapes make it safe in a log. `evalkit.report.documents` has the key
tables of every document.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import msgspec

from evalkit.core.format import name_rule
from evalkit.core.judgement import Judgement
from evalkit.core.run import Run
from evalkit.core.safe_text import format_json
from evalkit.core.spans import CUT_OFF, Span, ToolCall
from evalkit.core.trial import Trial
from evalkit.report.cached_answers import count_cached_answers
from evalkit.report.case_status import (
    STATUS_TEXTS,
    CaseResult,
    case_results,
    count_statuses,
    reason_text,
)
from evalkit.report.documents import (
    CaseResultDocument,
    ReportDocument,
    RunDocument,
    TrialDocument,
    to_document,
)
from evalkit.report.model import Report
from evalkit.store.span_file import SpansByTrial


def run_document(run: Run) -> RunDocument:
    """Return the plan and the environment of a run."""
    header = run.header
    return {
        "id": header.id,
        "path": run.path,
        "finished": run.finished,
        "created": header.created,
        "evalkit_version": header.evalkit_version,
        "evalset": header.evalset,
        "evalset_path": header.evalset_path,
        "evalset_digest": header.evalset_digest,
        "agent": {
            "kind": header.agent_kind,
            "entrypoint": header.agent_entrypoint,
            "version": header.agent_version,
            "digest": header.agent_digest,
        },
        "git_commit": header.git_commit,
        "git_dirty": header.git_dirty,
        "metrics": to_document(header.metrics),
        "settings": header.settings,
        "trials": header.trials,
        "selection": header.selection,
        "shard": header.shard,
        "cases": len(header.cases),
        "cases_in_set": header.cases_in_set,
        "scored_from": header.scored_from,
        "budget": to_document(header.budget),
        "cache": to_document(count_cached_answers(run)),
        "judges": to_document(run.trust),
        "warnings": run.warnings,
    }


def trial_document(trial: Trial) -> TrialDocument:
    """Return one trial with its state."""
    return {
        "number": trial.number,
        "state": trial.state,
        "passed": trial.passed,
        "attempts": trial.attempts,
        "started_s": trial.started_s,
        "took_s": trial.took_s,
        # Most of a document is trials, and msgspec is much faster than to_document.
        "output": msgspec.to_builtins(trial.output),
        "scores": msgspec.to_builtins(trial.scores),
    }


def trial_documents(trials: Iterable[Trial], due: int) -> list[TrialDocument]:
    """Return every planned trial, including those that were not run."""
    by_number = {trial.number: trial for trial in trials}
    return [
        trial_document(by_number[number])
        if number in by_number
        else {
            "number": number,
            "state": "not_run",
            "passed": False,
            "attempts": 0,
            "started_s": None,
            "took_s": None,
            "output": None,
            "scores": (),
        }
        for number in range(due)
    ]


def _case_document(result: CaseResult, spans: SpansByTrial) -> CaseResultDocument:
    change = result.change
    trials = (_attach_outline(_without_exchanges(trial), spans) for trial in result.trials)
    return {
        "id": result.case.id,
        "tags": result.case.tags,
        "path": result.case.where.path,
        "line": result.case.where.line,
        "status": result.status,
        "flaky": change.flaky,
        "passed": result.passed,
        "scored": result.scored,
        "baseline": {
            "passed": change.base_passed,
            "scored": change.base_trials,
            "now_passed": change.passed,
        }
        if change.base_trials
        else None,
        "counts_of": change.on_metric.metric if change.on_metric else "",
        "on_metric": to_document(change.on_metric),
        "reason": reason_text(result),
        "breaks": result.breaks,
        "trials": trial_documents(trials, result.due),
    }


def _attach_outline(trial: Trial, spans: SpansByTrial) -> Trial:
    """Return a trial with the names and times of its spans, and with the times of its tool calls.

    Their arguments and results would make a document many times larger.
    """
    stored = spans.get((trial.case_id, trial.number), ()) or trial.output.spans
    if not stored:
        return trial
    outlines = tuple(replace(span, arguments=None, result=None, attributes={}) for span in stored)
    calls = _time_calls(trial.output.tool_calls, stored)
    return replace(trial, output=replace(trial.output, spans=outlines, tool_calls=calls))


def _time_calls(calls: Sequence[ToolCall], spans: Sequence[Span]) -> tuple[ToolCall, ...]:
    """Return the calls with the durations of their spans, if the spans are of the same tools in order."""
    timed = [span for span in spans if span.kind == "tool"]
    timed.sort(key=lambda span: span.start_s)
    if [span.tool or span.name for span in timed] != [call.name for call in calls]:
        return tuple(calls)
    return tuple(
        call if call.duration_s is not None else replace(call, duration_s=span.duration_s)
        for call, span in zip(calls, timed, strict=True)
    )


def _without_exchanges(trial: Trial) -> Trial:
    """Return a trial without the judges' exchanges, which would double the size of a document."""
    scores = tuple(
        replace(score, judgement=_shorten_judgement(score.judgement)) if score.judgement else score
        for score in trial.scores
    )
    return replace(trial, scores=scores)


def _shorten_judgement(judgement: Judgement) -> Judgement:
    jurors = tuple(replace(juror, exchanges=()) for juror in judgement.jurors)
    return replace(judgement, exchanges=(), jurors=jurors)


def render_json(report: Report) -> str:
    """Render a run as an `evalkit.report/v1` document."""
    gate_result = report.gate_result
    results = case_results(report.run, gate_result, report.baseline)
    counts = count_statuses(results)
    tally = gate_result.tally
    trials = (*report.run.trials, *report.run.fresh)
    document: ReportDocument = {
        "schema": "evalkit.report/v1",
        "outcome": gate_result.outcome,
        "exit_code": gate_result.exit_code,
        "reason": gate_result.reason,
        "run": run_document(report.run),
        "baseline": run_document(report.baseline) if report.baseline else None,
        "tally": {"selected": tally.selected, "errors": tally.errors, "counts": tally.counts},
        "statuses": {status: counts.get(status, 0) for status in STATUS_TEXTS},
        "cut_off": sum(CUT_OFF in trial.output.flags for trial in trials),
        "checks": [
            {"name": name_rule(check.rule), **to_document(check)} for check in gate_result.checks
        ],
        "metrics": to_document(gate_result.summaries),
        "calls": to_document(report.calls),
        "jurors": to_document(report.jurors),
        "cases": [_case_document(result, report.spans) for result in results],
        "comparison": to_document(gate_result.comparison),
        "where_it_broke": to_document(report.breakage),
        "gate": to_document(gate_result.gate),
        "definition": to_document(gate_result.definition),
        "acceptance": to_document(gate_result.acceptance),
        "notes": gate_result.notes,
        "next": [{"label": hint.label, "command": hint.command} for hint in report.hints],
    }
    return format_json(document)
