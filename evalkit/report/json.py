"""A judged run as one strict JSON document, and the parts that other documents share with it.

Data stands in it as it is: only the spelling in JSON keeps it from doing harm in a log. Every
document is described by `evalkit/schemas/report.schema.json`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import msgspec

from evalkit.compare.scores import trial_state
from evalkit.core.format import name_rule
from evalkit.core.gate_result import Check, Comparison
from evalkit.core.literals import Json
from evalkit.core.run import Run
from evalkit.core.safe_text import format_json
from evalkit.core.trial import Trial
from evalkit.report.case_status import (
    STATUS_TEXTS,
    CaseResult,
    case_results,
    count_statuses,
    is_passed,
)
from evalkit.report.model import Report


def run_document(run: Run) -> Json:
    """What a run set out to do and under which circumstances."""
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
        "metrics": msgspec.to_builtins(header.metrics),
        "settings": header.settings,
        "trials": header.trials,
        "selection": header.selection,
        "shard": header.shard,
        "cases": len(header.cases),
        "cases_in_set": header.cases_in_set,
        "scored_from": header.scored_from,
        "judges": msgspec.to_builtins(run.trust) if run.trust is not None else None,
        "warnings": run.warnings,
    }


def trial_document(trial: Trial) -> Json:
    """One trial, with the state it is counted in."""
    return {
        "number": trial.number,
        "state": trial_state(trial),
        "passed": is_passed(trial),
        "attempts": trial.attempts,
        "output": msgspec.to_builtins(trial.output),
        "scores": msgspec.to_builtins(trial.scores),
    }


def trial_documents(trials: Iterable[Trial], due: int) -> list[Json]:
    """Every trial that was due, those that were not run as well, so that they add up."""
    by_number = {trial.number: trial for trial in trials}
    missing = {"state": "not_run", "passed": False, "attempts": 0, "output": None, "scores": []}
    return [
        trial_document(by_number[number]) if number in by_number else {"number": number, **missing}
        for number in range(due)
    ]


def _case(result: CaseResult) -> Json:
    compared = result.base_trials > 0
    return {
        "id": result.case.id,
        "tags": result.case.tags,
        "path": result.case.where.path,
        "line": result.case.where.line,
        "standing": result.status,
        "flaky": result.flaky,
        "passed": result.passed,
        "scored": result.scored,
        "baseline": {"passed": result.base_passed, "scored": result.base_trials}
        if compared
        else None,
        "trials": trial_documents(map(_without_exchanges, result.trials), result.due),
    }


def _without_exchanges(trial: Trial) -> Trial:
    """Return a trial without the judges' exchanges, which are as long as everything else together."""
    scores = tuple(
        replace(score, judgement=score.judgement and replace(score.judgement, exchanges=()))
        for score in trial.scores
    )
    return replace(trial, scores=scores)


def _check(check: Check) -> Json:
    return {"name": name_rule(check.rule), **msgspec.to_builtins(check)}


def comparison_document(comparison: Comparison) -> Json:
    """Two runs side by side, in numbers."""
    return {
        **msgspec.to_builtins(comparison),
        "metrics": [
            {**msgspec.to_builtins(change), "difference": change.difference}
            for change in comparison.metrics
        ],
    }


def render_json(report: Report) -> str:
    """Render a judged run as one document, `evalkit.report/v1`."""
    verdict = report.gate_result
    results = case_results(report)
    counts = count_statuses(results)
    tally = verdict.tally
    return format_json(
        {
            "schema": "evalkit.report/v1",
            "outcome": verdict.outcome,
            "exit_code": verdict.exit_code,
            "reason": verdict.reason,
            "run": run_document(report.run),
            "baseline": run_document(report.baseline) if report.baseline else None,
            "tally": {"selected": tally.selected, "errors": tally.errors, "counts": tally.counts},
            "standings": {standing: counts.get(standing, 0) for standing in STATUS_TEXTS},
            "checks": [_check(check) for check in verdict.checks],
            "metrics": msgspec.to_builtins(verdict.summaries),
            "calls": [
                {**msgspec.to_builtins(calls), "error_rate": calls.error_rate}
                for calls in report.calls
            ],
            "cases": [_case(result) for result in results],
            "comparison": comparison_document(verdict.comparison) if verdict.comparison else None,
            "gate": msgspec.to_builtins(verdict.gate) if verdict.gate else None,
            "notes": verdict.notes,
            "next": [{"label": hint.label, "command": hint.command} for hint in report.hints],
        }
    )
