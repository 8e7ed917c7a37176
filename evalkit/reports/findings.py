"""Recorded baselines, checked sets and previews as text or as strict JSON."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from evalkit.findings import CheckedRubric, CheckedSet, Preview, Recorded
from evalkit.reports.layout import Screen, finish
from evalkit.reports.numbers import value_text
from evalkit.spelling import count_of
from evalkit.text import json_block


def recorded_text(recorded: Recorded, screen: Screen) -> str:
    """What a baseline holds and what to do with it."""
    header = recorded.run.header
    size = f"{count_of(len(header.cases), 'case')}, {count_of(header.trials, 'trial')} each"
    lines = [
        f"Baseline of {header.evalset} written to {recorded.path}",
        f"{size}, agent {header.agent_version}",
        *(
            f"  {summary.metric}: {value_text(summary.mean, summary.unit)}"
            for summary in recorded.summaries
            if summary.tag is None
        ),
        "Review it and commit it: later runs are compared with it.",
    ]
    if recorded.replaced_trials > header.trials:
        lines.append(
            f"The old one had {recorded.replaced_trials} trials of each case and saw smaller drops. "
            f"To record as many again: evalkit baseline without --from."
        )
    return _folded(lines, screen)


def recorded_json(recorded: Recorded) -> str:
    """The same for programs."""
    return json_block(
        {
            "schema": "evalkit.recorded/v1",
            "path": str(recorded.path),
            "run": recorded.run.header.id,
            "evalset": recorded.run.header.evalset,
            "agent_version": recorded.run.header.agent_version,
            "cases": len(recorded.run.header.cases),
            "trials": recorded.run.header.trials,
            "metrics": {
                summary.metric: summary.mean
                for summary in recorded.summaries
                if summary.tag is None
            },
        }
    )


def checked_text(
    sets: Sequence[CheckedSet], rubrics: Sequence[CheckedRubric], screen: Screen
) -> str:
    """One paragraph for each sound set, one line for each sound rubric."""
    lines = []
    for rubric in rubrics:
        criteria = "criterion" if rubric.criteria == 1 else "criteria"
        checks = f" ({count_of(rubric.checks, 'check')})" if rubric.checks else ""
        controls = (
            f"{rubric.good_controls} good and {rubric.bad_controls} bad controls"
            if rubric.good_controls
            else "no controls of its own"
        )
        lines.append(
            f"{rubric.path}: OK, a rubric of {rubric.criteria} {criteria}{checks}, "
            f"{count_of(rubric.examples, 'example')}, {controls}"
        )
    for found in sets:
        sizes = f"{count_of(found.cases, 'case')}, {count_of(found.rules, 'threshold')}"
        lines.append(f"{found.path}: OK, {sizes}")
        lines += _counts("scored by", found.scored_by, found.cases)
        lines += _counts("tags", found.tags, found.cases)
    return _folded(lines, screen)


def _counts(label: str, counts: Iterable[tuple[str, int]], cases: int) -> list[str]:
    words = [f"{name} {'all' if count == cases else count}" for name, count in counts]
    return [f"  {label}: {', '.join(words)}"] if words else []


def checked_json(sets: Sequence[CheckedSet], rubrics: Sequence[CheckedRubric]) -> str:
    """The same for programs."""
    return json_block(
        {
            "schema": "evalkit.validated/v1",
            "evalsets": [
                {
                    "path": found.path,
                    "name": found.name,
                    "cases": found.cases,
                    "thresholds": found.rules,
                    "scored_by": dict(found.scored_by),
                    "tags": dict(found.tags),
                }
                for found in sets
            ],
            "rubrics": [
                {
                    "path": rubric.path,
                    "name": rubric.name,
                    "criteria": rubric.criteria,
                    "checks": rubric.checks,
                    "examples": rubric.examples,
                    "controls": {"good": rubric.good_controls, "bad": rubric.bad_controls},
                }
                for rubric in rubrics
            ],
        }
    )


def preview_text(preview: Preview, screen: Screen) -> str:
    """What would run; nothing has."""
    cost = "unknown (no stored trial says)"
    if preview.cost_usd is not None:
        cost = f"about {value_text(preview.cost_usd, 'usd')}, as in the baseline"
    against = "none yet"
    if preview.baseline_trials:
        against = f"{count_of(preview.baseline_trials, 'trial')} a case"
    calls = count_of(preview.agent_calls, "agent call")
    judged = "no calls"
    if preview.judge_calls:
        judged = f"{count_of(preview.judge_calls, 'call')} at most, controls included"
    more = ""
    if preview.most_trials > preview.trials:
        more = f"; up to {preview.most_trials} of each case while the gate is undecided"
    lines = [
        f"Would run {len(preview.case_ids)} of {count_of(preview.cases_in_set, 'case')} of {preview.evalset}",
        f"  agent: {preview.agent}",
        f"  trials: {preview.trials} of each case, {calls} in all{more}",
        f"  cost of the agent: {cost}",
        f"  scored by: {', '.join(preview.metrics)}",
        *([f"  judge: {preview.judge}, {judged}"] if preview.judge else []),
        f"  baseline: {against}",
        f"  cases: {', '.join(preview.case_ids)}",
        *(f"  warning: {warning}" for warning in preview.warnings),
        "Nothing was run.",
    ]
    return _folded(lines, screen)


def preview_json(preview: Preview) -> str:
    """The same for programs."""
    return json_block(
        {
            "schema": "evalkit.preview/v1",
            "evalset": preview.evalset,
            "agent": preview.agent,
            "cases": list(preview.case_ids),
            "cases_in_set": preview.cases_in_set,
            "trials": preview.trials,
            "most_trials": preview.most_trials,
            "agent_calls": preview.agent_calls,
            "cost_usd": preview.cost_usd,
            "metrics": list(preview.metrics),
            "baseline_trials": preview.baseline_trials,
            "judge": preview.judge,
            "judge_calls": preview.judge_calls,
            "warnings": list(preview.warnings),
        }
    )


def _folded(lines: Iterable[str], screen: Screen) -> str:
    folded = [part for line in lines for part in screen.fold(line, hang="    ")]
    return finish([folded])
