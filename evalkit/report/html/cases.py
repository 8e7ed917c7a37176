"""Turn the cases of a judged run into what `case.html.j2` shows of each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from markupsafe import Markup

from evalkit.core.safe_text import head
from evalkit.core.trial import Score
from evalkit.report.case_status import (
    STATUS_TEXTS,
    CaseResult,
    answer_text,
    count_statuses,
    error_text,
    input_text,
    json_text,
    passes_change,
    reason_text,
    representative_trial,
)
from evalkit.report.content import value_cell
from evalkit.report.html.views import DiffPart, TextBlock, word_diff

_MAX_REASON_CHARS = 300


class VerdictView(NamedTuple):
    """A judge's verdict on one criterion."""

    level: str
    explanation: str
    evidence: str


class ScoreView(NamedTuple):
    """One score of the shown trial; `word` says its result and is its style."""

    word: str
    metric: str
    value: str
    explanation: str
    verdicts: list[VerdictView]
    judge: str


class CaseView(NamedTuple):
    """One case as a row that opens. `sides` and `difference` are empty unless answers differ."""

    id: str
    status: str
    mark: str
    is_flaky: bool
    tags: str
    change: str
    latency: str
    passes: str
    reason: str
    about: str
    blocks: list[TextBlock]
    sides: tuple[TextBlock, ...]
    difference: tuple[DiffPart, ...]
    is_run: bool
    steps: Markup | None
    scores: list[ScoreView]


class FilterView(NamedTuple):
    """One button that filters the cases by status; an empty status means all cases."""

    status: str
    label: str
    title: str


def rank_cases(results: Sequence[CaseResult]) -> list[CaseResult]:
    """Return the cases by status, worst first, then in the order of the run."""
    order = list(STATUS_TEXTS)
    return sorted(results, key=lambda result: order.index(result.status))


def filter_views(results: Sequence[CaseResult]) -> Iterator[FilterView]:
    """Yield the status filters, with the number of cases of each."""
    yield FilterView("", f"all {len(results):,}", "")
    for status, count in count_statuses(results).items():
        yield FilterView(status, f"{status.replace('_', ' ')} {count:,}", STATUS_TEXTS[status])


def case_view(
    result: CaseResult, units: Mapping[str, str], limit: int, steps: Markup | None
) -> CaseView:
    """Return what a page shows of a case, with no text longer than `limit`."""
    case = result.case
    before = result.base_passed / result.base_trials if result.base_trials else None
    now = result.passed / result.scored if result.scored else 0.0
    mark = result.status.replace("_", " ")
    about = [STATUS_TEXTS[result.status]]
    if case.tags:
        about.append(f"tags: {', '.join(case.tags)}")
    if case.where.path:
        about.append(f"{case.where}")
    trial = representative_trial(result.trials, passed=False)
    blocks, sides = _answer_views(result, limit)
    return CaseView(
        id=case.id,
        status=result.status,
        mark=f"{mark}, flaky" if result.flaky and result.status != "flaky" else mark,
        is_flaky=result.flaky,
        tags=" ".join(f"[{name}]" for name in case.tags),
        change=f"{now - before if before is not None else 0.0:.4f}",
        latency=f"{max((trial.output.latency_s for trial in result.trials), default=0.0):.6f}",
        passes=passes_change(result),
        reason=reason_text(result)[:_MAX_REASON_CHARS],
        about="; ".join(filter(None, (about[0], ", ".join(about[1:])))),
        blocks=blocks,
        sides=sides,
        difference=word_diff(sides[0].text, sides[1].text) if sides else (),
        is_run=trial is not None,
        steps=steps,
        scores=[_score_view(score, units.get(score.metric, ""), limit) for score in trial.scores]
        if trial
        else [],
    )


def _answer_views(result: CaseResult, limit: int) -> tuple[list[TextBlock], tuple[TextBlock, ...]]:
    """Return the texts of a case, and both answers if the answer changed."""
    case = result.case
    blocks = [TextBlock("asked", head(input_text(case), limit))]
    if case.expected is not None:
        blocks.append(TextBlock("expected", head(json_text(case.expected), limit)))
    now = representative_trial(result.trials, passed=False)
    if now is None:
        return blocks, ()
    if now.output.error is not None:
        text = f"{error_text(now.output)}\n{now.output.error.detail}"
        return [*blocks, TextBlock("error", head(text, limit))], ()
    text = head(answer_text(now.output), limit)
    before = representative_trial(result.base, passed=True)
    if before is None or before.output.error is not None:
        return [*blocks, TextBlock("answered", text)], ()
    earlier = head(answer_text(before.output), limit)
    if earlier == text:
        return [*blocks, TextBlock("answered, the same as in the baseline", text)], ()
    return blocks, (TextBlock("in the baseline", earlier), TextBlock("now", text))


def _score_view(score: Score, unit: str, limit: int) -> ScoreView:
    word = score.state if score.state != "scored" else "measured"
    if score.passed is not None:
        word = "pass" if score.passed else "fail"
    judgement = score.judgement
    return ScoreView(
        word=word,
        metric=score.metric,
        value="" if score.value is None else value_cell(score.value, unit),
        explanation=score.explanation[:limit],
        verdicts=[
            VerdictView(
                level=f"{verdict.criterion} = {verdict.level}",
                explanation=f"{_votes_text(verdict.votes)} {verdict.explanation[:limit]}",
                evidence=f"evidence: {verdict.evidence[:limit]}" if verdict.evidence else "",
            )
            for verdict in (judgement.verdicts if judgement else ())
        ],
        judge=judgement.judge if judgement else "",
    )


def _votes_text(votes: Sequence[str]) -> str:
    return f" (votes: {', '.join(votes)})" if votes else ""
