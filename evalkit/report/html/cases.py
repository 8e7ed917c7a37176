"""Turn the cases of a run into the views that `case.html.j2` renders."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from markupsafe import Markup

from evalkit.core.judgement import CriterionVerdict
from evalkit.core.literals import CaseStatus, Json
from evalkit.core.safe_text import head, one_line
from evalkit.core.trial import Score, Trial
from evalkit.core.values import iter_texts
from evalkit.report import case_status
from evalkit.report.content import value_cell
from evalkit.report.html.text_diff import TextChange, compare_texts, mark_texts
from evalkit.report.html.views import TextBlock

_MAX_REASON_CHARS = 300
_MAX_CELLS = 160
_MAX_CALLS = 12

_FOLDED: dict[CaseStatus, tuple[str, str]] = {
    "still_failing": ("1 case fails as before", "cases fail as before"),
    "passed": ("1 case passes", "cases pass"),
    "not_scored": ("1 case was not scored", "cases were not scored"),
    "removed": ("1 case is in the baseline only", "cases are in the baseline only"),
}
"""The statuses of cases that did not change, with the line that one case or several are folded to."""


class CaseGroup(NamedTuple):
    """Cases that are listed together; with a title, they are folded to a line."""

    title: str
    results: Sequence[case_status.CaseResult]


def group_cases(results: Sequence[case_status.CaseResult]) -> list[CaseGroup]:
    """Return the cases that changed, worst first, then flaky ones, then a fold for each other status."""
    worst = case_status.worst_first(results)
    named = {result.case.id for result in worst}
    rest = [result for result in results if result.case.id not in named]
    fixed, flaky, other = (
        [result for result in rest if result.status in statuses]
        for statuses in (("fixed",), ("flaky",), ("not_run",))
    )
    groups = [CaseGroup("", [*worst, *other, *fixed, *flaky])]
    for status, (one, several) in _FOLDED.items():
        alike = [result for result in rest if result.status == status]
        if alike:
            groups.append(CaseGroup(one if len(alike) == 1 else f"{len(alike):,} {several}", alike))
    return groups


def filter_views(results: Sequence[case_status.CaseResult]) -> list[dict[str, str]]:
    """Return a filter for all cases and one for each status, with the number of cases."""
    filters = [{"status": "", "label": f"all {len(results):,}", "title": ""}]
    for status, count in case_status.count_statuses(results).items():
        label = f"{status.replace('_', ' ')} {count:,}"
        filters.append(
            {"status": status, "label": label, "title": case_status.STATUS_TEXTS[status]}
        )
    return filters


def worst_view(result: case_status.CaseResult) -> dict[str, Any]:
    """Return a case as an entry of the list of the worst cases: counts, reason, and answer, one line each."""
    trial = case_status.representative_trial(result.trials, passed=False)
    answered = ""
    if trial is not None and trial.output.error is None:
        answered = (
            one_line(" ".join(case_status.answer_text(trial.output).split()), _MAX_CELLS)
            or "(empty)"
        )
    return {
        "id": result.case.id,
        "status": result.status,
        "label": result.label,
        **_passes_view(result),
        "reason": one_line(case_status.reason_text(result, counts=False), _MAX_CELLS),
        "answered": answered,
    }


def _passes_view(result: case_status.CaseResult) -> dict[str, str]:
    """Return what is counted, empty for the whole case, and its passes before and now."""
    change = result.change
    hit = change.on_metric
    if hit is not None and change.status == "regressed":
        before = case_status.passes_text(hit.base_passed, hit.base_trials)
        now = case_status.passes_text(hit.passed, hit.trials)
        return {"counted": hit.metric, "before": before, "now": now}
    before = (
        case_status.passes_text(change.base_passed, change.base_trials)
        if change.base_trials
        else ""
    )
    now = case_status.passes_text(change.passed, change.trials)
    everything = case_status.passes_text(change.passed_all, change.trials)
    if before and everything != now:
        return {"counted": "metrics of the baseline", "before": before, "now": now}
    return {"counted": "", "before": before, "now": everything}


def case_view(
    result: case_status.CaseResult,
    units: Mapping[str, str],
    limit: int,
    steps: Markup | None,
    *,
    is_brief: bool = False,
) -> dict[str, Any]:
    """Return the view of a case, with no text longer than `limit`.

    If it `is_brief`, the explanations of passing scores and the verdicts of judges are left out.
    """
    case = result.case
    change = result.change
    before = change.base_passed / change.base_trials if change.base_trials else None
    now = result.passed / result.scored if result.scored else 0.0
    trial = case_status.representative_trial(result.trials, passed=False)
    base = case_status.representative_trial(result.base, passed=True)
    return {
        "id": case.id,
        "status": result.status,
        "mark": result.label,
        "is_flaky": change.flaky,
        "tags": " ".join(f"[{name}]" for name in case.tags),
        "change": f"{now - before if before is not None else 0.0:.4f}",
        "latency": f"{max((t.output.latency_s for t in result.trials), default=0.0):.6f}",
        **_passes_view(result),
        "reason": one_line(case_status.reason_text(result, counts=False), _MAX_REASON_CHARS),
        "meaning": case_status.STATUS_TEXTS[result.status],
        "about": ", ".join(case.tags),
        "where": f"{case.where}" if case.where.path else "",
        "asked": head(case_status.input_text(case), limit),
        "expected": None if case.expected is None else head(_expected_text(case.expected), limit),
        **_answer_view(trial, base, case.expected, limit),
        "is_run": trial is not None,
        "calls": _calls_text(trial, base),
        "steps": steps,
        **_score_views(trial.scores if trial else (), units, limit, is_brief=is_brief),
    }


def _expected_text(expected: Json) -> str:
    """Return a label as text, one with several keys as a line for each key."""
    if not isinstance(expected, Mapping):
        return case_status.json_text(expected)
    return "\n".join(f"{key}: {case_status.json_text(value)}" for key, value in expected.items())


def _answer_view(
    trial: Trial | None, base: Trial | None, expected: Json, limit: int
) -> dict[str, Any]:
    """Return the answer as a titled text, or the answers of both runs if it changed."""
    view: dict[str, Any] = {"block": None, "sides": (), "sides_note": ""}
    if trial is None:
        return view
    if trial.output.error is not None:
        text = f"{case_status.error_text(trial.output)}\n{trial.output.error.detail}".strip()
        return {**view, "block": TextBlock("error", head(text, limit))}
    text = head(case_status.answer_text(trial.output), limit)
    if base is None or base.output.error is not None:
        return {**view, "block": TextBlock("answered", text)}
    earlier = head(case_status.answer_text(base.output), limit)
    # Show equal answers once, which halves the page of a stable agent.
    if earlier == text:
        return {**view, "block": TextBlock("answered, the same as in the baseline", text)}
    change = compare_texts(earlier, text)
    note = ""
    if not change.is_alike:
        marked = mark_texts(earlier, list(iter_texts(expected)))
        note = ", another answer" + ("; expected texts are marked" if len(marked) > 1 else "")
        change = TextChange(marked, change.now, is_alike=False)
    return {**view, "sides": (change.before, change.now), "sides_note": note}


def _calls_text(trial: Trial | None, base: Trial | None) -> str:
    """Return the tools that both trials called, in order; empty if neither reports a call."""
    if trial is None:
        return ""
    names = [_call_names(each) if each else "" for each in (base, trial)]
    if not any(names):
        return ""
    before, now = (text or "none" for text in names)
    if base is None or before == now:
        return f"Tool calls: {now}"
    return f"Tool calls before: {before}. Now: {now}"


def _call_names(trial: Trial) -> str:
    names = [call.name for call in trial.output.tool_calls]
    more = f" and {len(names) - _MAX_CALLS:,} more" if len(names) > _MAX_CALLS else ""
    return ", ".join(names[:_MAX_CALLS]) + more


def _score_views(
    scores: Sequence[Score], units: Mapping[str, str], limit: int, *, is_brief: bool
) -> dict[str, Any]:
    """Return the scores to explain, those that do not pass first, and names and values of the others."""
    explained, passing, measured = [], [], []
    for score in scores:
        value = "" if score.value is None else value_cell(score.value, units.get(score.metric, ""))
        is_plain = score.state == "scored" and not score.explanation
        if score.state == "scored" and score.passed is None and not score.explanation:
            measured += [] if is_brief else [f"{score.metric} {value}"]
        elif score.passed and (is_brief or is_plain):
            passing.append(score.metric)
        else:
            explained.append(_score_view(score, value, limit, has_verdicts=not is_brief))
    explained.sort(key=lambda view: view["word"] == "pass")
    return {"scores": explained, "passing": passing, "measured": measured}


def _score_view(score: Score, value: str, limit: int, *, has_verdicts: bool) -> dict[str, Any]:
    word: str = score.state if score.state != "scored" else "measured"
    if score.passed is not None:
        word = "pass" if score.passed else "fail"
    judgement = score.judgement
    verdicts = judgement.verdicts if judgement and has_verdicts and word != "pass" else ()
    return {
        "word": word,
        "metric": score.metric,
        "value": value,
        # The explanation of a judged score summarizes its verdicts.
        "explanation": "" if verdicts else score.explanation[:limit],
        "verdicts": [_verdict_view(verdict, limit) for verdict in verdicts],
        "judge": judgement.judge if judgement and verdicts else "",
    }


def _verdict_view(verdict: CriterionVerdict, limit: int) -> dict[str, str]:
    votes = f" (votes: {', '.join(verdict.votes)})" if verdict.votes else ""
    return {
        "level": f"{verdict.criterion} = {verdict.level}",
        "explanation": f"{votes} {verdict.explanation[:limit]}",
        "evidence": f"evidence: {verdict.evidence[:limit]}" if verdict.evidence else "",
    }
