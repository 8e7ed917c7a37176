"""Render one case of a run as a page: every trial with its answer, scores, and steps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any

from evalkit.core.eval_set import Case
from evalkit.core.judgement import CriterionVerdict, JudgeExchange, Judgement, JudgeVote
from evalkit.core.safe_text import head
from evalkit.core.trial import Output, Score, Trial
from evalkit.report import case_status
from evalkit.report.content import value_cell
from evalkit.report.html.page import render_page
from evalkit.report.html.text_diff import compare_texts
from evalkit.report.html.views import TextBlock, limit_texts
from evalkit.report.html.waterfall import render_waterfall
from evalkit.report.model import CaseDetails

_MAX_TRIALS = 50
_MAX_PAGE_CHARS = 400_000
_MAX_WATERFALL_BYTES = 400_000
_TEXTS_PER_TRIAL = 8

_OUTCOME_TEXTS = {
    "pass": "passes",
    "fail": "fails",
    "error": "has an error",
    "not_scored": "not scored",
    "not_run": "not run",
}


def render_case(shown: CaseDetails, *, home: str, run_href: str) -> str:
    """Render a case as one self-contained page.

    Args:
        shown: the case.
        home: the address of the home page.
        run_href: the address of the report of its run.
    """
    case, header = shown.case, shown.run.header
    own = case_status.trials_of(shown.run, case.id)
    fresh = [trial for trial in shown.run.fresh if trial.case_id == case.id]
    base = case_status.trials_of(shown.baseline, case.id)
    trials = [*own, *fresh][:_MAX_TRIALS]
    limit = limit_texts(_TEXTS_PER_TRIAL * len(trials), _MAX_PAGE_CHARS)
    units = {metric.name: metric.unit for metric in header.metrics}
    due = header.planned_trials().get(case.id, header.trials)
    outcome = _outcome(own)
    steps_bytes = _MAX_WATERFALL_BYTES // max(1, len(trials))
    views = [
        {
            "anchor": f"trial-{trial.number + 1}",
            "title": f"Trial {trial.number + 1} of {due}"
            if trial.number < due
            else f"Fresh trial {trial.number - due + 1}",
            **_trial_view(trial, units, limit),
            "steps": render_waterfall(
                shown.spans.get((trial.case_id, trial.number), ()), limit, steps_bytes
            ),
        }
        for trial in trials
    ]
    return render_page(
        "case_page.html.j2",
        styles=("report.css", "view.css"),
        title=f"{case.id} in {header.evalset}",
        home=home,
        run_href=run_href,
        run_id=header.id,
        evalset=header.evalset,
        id=case.id,
        outcome=outcome,
        word=_OUTCOME_TEXTS[outcome],
        summary=_summary(shown, own, base),
        about=_about(case, header.agent_version),
        blocks=_case_blocks(case, limit),
        trials=views,
        **_change_view(own, base, limit),
    )


def _outcome(trials: Sequence[Trial]) -> str:
    """Return how the case ends: it passes if more than half of its scored trials do."""
    scored = [trial for trial in trials if trial.state == "scored"]
    if any(trial.state not in ("scored", "skipped") for trial in trials):
        return "error"
    if not scored:
        return "not_scored" if trials else "not_run"
    return "pass" if 2 * sum(trial.passed for trial in scored) > len(scored) else "fail"


def _summary(shown: CaseDetails, own: Sequence[Trial], base: Sequence[Trial]) -> str:
    parts = [f"{_passes(own)} in this run"]
    if shown.baseline is not None:
        version = shown.baseline.header.agent_version or "without a version"
        parts.append(
            f"{_passes(base)} in the baseline ({version})" if base else "not in the baseline"
        )
    return f"Passed {', '.join(parts)}."


def _passes(trials: Sequence[Trial]) -> str:
    scored = [trial for trial in trials if trial.state == "scored"]
    return f"{sum(trial.passed for trial in scored)} of {len(scored)} scored trials"


def _about(case: Case, version: str) -> list[tuple[str, str]]:
    rows = [
        ("tags", ", ".join(case.tags)),
        ("defined in", str(case.where) if case.where.path else ""),
        ("version", version),
    ]
    return [(name, text) for name, text in rows if text]


def _case_blocks(case: Case, limit: int) -> list[TextBlock]:
    blocks = [TextBlock("input", head(case_status.input_text(case), limit))]
    if case.expected is not None:
        blocks.append(TextBlock("expected", head(case_status.json_text(case.expected), limit)))
    if case.draft is not None:
        blocks.append(TextBlock("draft", head(case_status.json_text(case.draft), limit)))
    return blocks


def _change_view(own: Sequence[Trial], base: Sequence[Trial], limit: int) -> dict[str, Any]:
    """Return both answers with what differs, if a baseline has the case and answered otherwise."""
    before = case_status.representative_trial(base, passed=True)
    now = case_status.representative_trial(own, passed=False)
    none: dict[str, Any] = {"sides": (), "change_title": ""}
    if before is None or now is None:
        return none
    texts = [head(_answer(trial.output), limit) for trial in (before, now)]
    if texts[0] == texts[1]:
        return none
    change = compare_texts(*texts)
    return {
        "sides": (
            (f"in the baseline, trial {before.number + 1}", change.before),
            (f"now, trial {now.number + 1}", change.now),
        ),
        "change_title": "The answer changed" if change.is_alike else "Another answer",
    }


def _answer(output: Output) -> str:
    return case_status.error_text(output) or case_status.answer_text(output)


def _trial_view(trial: Trial, units: dict[str, str], limit: int) -> dict[str, Any]:
    output = trial.output
    word = "passed" if trial.passed else "failed"
    outcome = "pass" if trial.passed else "fail"
    if trial.state != "scored":
        word, outcome = trial.state.replace("_", " "), trial.state
    about = [] if output.error and not output.latency_s else [value_cell(output.latency_s, "s")]
    if output.cost_usd is not None:
        about.append(value_cell(output.cost_usd, "usd"))
    if output.usage is not None:
        about.append(f"{output.usage.input_tokens:,} + {output.usage.output_tokens:,} tokens")
    if trial.attempts > 1:
        about.append(f"{trial.attempts} attempts")
    return {
        "outcome": outcome,
        "word": word,
        "about": ", ".join([*about, *output.flags]),
        "blocks": list(_output_blocks(output, limit)),
        "scores": [
            _score_view(score, units.get(score.metric, ""), limit) for score in trial.scores
        ],
    }


def _output_blocks(output: Output, limit: int) -> Iterator[TextBlock]:
    for number, reply in enumerate(output.replies[:-1], start=1):
        yield TextBlock(f"reply {number}", head(reply, limit))
    if output.error is not None:
        text = f"{case_status.error_text(output)}\n{output.error.detail}".rstrip()
        yield TextBlock("error", head(text, limit))
    else:
        yield TextBlock("answer", head(case_status.answer_text(output), limit))
        if output.text and output.data is not None:
            yield TextBlock("data", head(case_status.json_text(output.data), limit))


def _score_view(score: Score, unit: str, limit: int) -> dict[str, Any]:
    outcome: str = score.state if score.state != "scored" else "measured"
    if score.passed is not None:
        outcome = "pass" if score.passed else "fail"
    judgement = score.judgement
    return {
        "outcome": outcome,
        "word": outcome.replace("_", " "),
        "metric": score.metric,
        "value": "" if score.value is None else value_cell(score.value, unit),
        "explanation": head(score.explanation, limit),
        "verdicts": [] if judgement is None else _verdict_lines(judgement.verdicts, limit),
        "exchanges": [] if judgement is None else list(_exchange_blocks(judgement, limit)),
        "judge": f"judged by {judgement.judge}" if judgement and judgement.judge else "",
    }


def _verdict_lines(verdicts: Sequence[CriterionVerdict], limit: int) -> list[tuple[str, str]]:
    lines = []
    for verdict in verdicts:
        votes = f" (votes: {', '.join(verdict.votes)})" if verdict.votes else ""
        why = f": {head(verdict.explanation, limit)}" if verdict.explanation else ""
        evidence = f"evidence: {head(verdict.evidence, limit)}" if verdict.evidence else ""
        lines.append((f"{verdict.criterion} = {verdict.level}{votes}{why}", evidence))
    return lines


def _exchange_blocks(judgement: Judgement, limit: int) -> Iterator[TextBlock]:
    """Yield what the judge, or each member of a jury, was asked and answered."""
    members: Sequence[Judgement | JudgeVote] = (judgement, *judgement.jurors)
    exchanges: Iterator[JudgeExchange] = chain.from_iterable(each.exchanges for each in members)
    for exchange in exchanges:
        yield TextBlock("asked", head(exchange.asked, limit))
        yield TextBlock("answered", head(exchange.answered or exchange.problem, limit))
