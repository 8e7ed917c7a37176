"""Turn the cases of a run into the views that `case.html.j2` renders."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from evalkit.core.judgement import CriterionVerdict
from evalkit.core.safe_text import head
from evalkit.core.trial import Score
from evalkit.report import case_status
from evalkit.report.content import value_cell
from evalkit.report.html.views import TextBlock, word_diff

_MAX_REASON_CHARS = 300


def rank_cases(results: Sequence[case_status.CaseResult]) -> list[case_status.CaseResult]:
    """Return the cases by status, worst first, then in the order of the run."""
    order = list(case_status.STATUS_TEXTS)
    return sorted(results, key=lambda result: order.index(result.status))


def filter_views(results: Sequence[case_status.CaseResult]) -> list[dict[str, str]]:
    """Return a filter for all cases and one for each status, with the number of cases."""
    filters = [{"status": "", "label": f"all {len(results):,}", "title": ""}]
    for status, count in case_status.count_statuses(results).items():
        label = f"{status.replace('_', ' ')} {count:,}"
        filters.append(
            {"status": status, "label": label, "title": case_status.STATUS_TEXTS[status]}
        )
    return filters


def case_view(
    result: case_status.CaseResult, units: Mapping[str, str], limit: int, steps: Markup | None
) -> dict[str, Any]:
    """Return the view of a case, with no text longer than `limit`.

    `sides` and `difference` are empty if the answer did not change.
    """
    case = result.case
    change = result.change
    before = change.base_passed / change.base_trials if change.base_trials else None
    now = result.passed / result.scored if result.scored else 0.0
    about = [f"tags: {', '.join(case.tags)}"] if case.tags else []
    if case.where.path:
        about.append(f"{case.where}")
    trial = case_status.representative_trial(result.trials, passed=False)
    scores = trial.scores if trial else ()
    blocks, sides = _answer_views(result, limit)
    return {
        "id": case.id,
        "status": result.status,
        "mark": result.label,
        "is_flaky": change.flaky,
        "tags": " ".join(f"[{name}]" for name in case.tags),
        "change": f"{now - before if before is not None else 0.0:.4f}",
        "latency": f"{max((t.output.latency_s for t in result.trials), default=0.0):.6f}",
        "passes": case_status.passes_change(change),
        "reason": case_status.reason_text(result)[:_MAX_REASON_CHARS],
        "about": "; ".join(
            filter(None, (case_status.STATUS_TEXTS[result.status], ", ".join(about)))
        ),
        "blocks": blocks,
        "sides": sides,
        "difference": word_diff(sides[0].text, sides[1].text) if sides else (),
        "is_run": trial is not None,
        "steps": steps,
        "scores": [_score_view(score, units.get(score.metric, ""), limit) for score in scores],
    }


def _answer_views(
    result: case_status.CaseResult, limit: int
) -> tuple[list[TextBlock], tuple[TextBlock, ...]]:
    """Return the texts of a case, and both answers if the answer changed."""
    case = result.case
    blocks = [TextBlock("asked", head(case_status.input_text(case), limit))]
    if case.expected is not None:
        blocks.append(TextBlock("expected", head(case_status.json_text(case.expected), limit)))
    now = case_status.representative_trial(result.trials, passed=False)
    if now is None:
        return blocks, ()
    if now.output.error is not None:
        text = f"{case_status.error_text(now.output)}\n{now.output.error.detail}"
        return [*blocks, TextBlock("error", head(text, limit))], ()
    text = head(case_status.answer_text(now.output), limit)
    before = case_status.representative_trial(result.base, passed=True)
    if before is None or before.output.error is not None:
        return [*blocks, TextBlock("answered", text)], ()
    earlier = head(case_status.answer_text(before.output), limit)
    # Show equal answers once, which halves the page of a stable agent.
    if earlier == text:
        return [*blocks, TextBlock("answered, the same as in the baseline", text)], ()
    return blocks, (TextBlock("in the baseline", earlier), TextBlock("now", text))


def _score_view(score: Score, unit: str, limit: int) -> dict[str, Any]:
    word: str = score.state if score.state != "scored" else "measured"
    if score.passed is not None:
        word = "pass" if score.passed else "fail"
    judgement = score.judgement
    verdicts = judgement.verdicts if judgement else ()
    return {
        "word": word,
        "metric": score.metric,
        "value": "" if score.value is None else value_cell(score.value, unit),
        "explanation": score.explanation[:limit],
        "verdicts": [_verdict_view(verdict, limit) for verdict in verdicts],
        "judge": judgement.judge if judgement else "",
    }


def _verdict_view(verdict: CriterionVerdict, limit: int) -> dict[str, str]:
    votes = f" (votes: {', '.join(verdict.votes)})" if verdict.votes else ""
    return {
        "level": f"{verdict.criterion} = {verdict.level}",
        "explanation": f"{votes} {verdict.explanation[:limit]}",
        "evidence": f"evidence: {verdict.evidence[:limit]}" if verdict.evidence else "",
    }
