"""Render one case of a run in full as terminal text and JSON: input, answers, steps, scores."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import msgspec

from evalkit.core.format import format_count
from evalkit.core.judgement import CriterionVerdict, JudgeExchange, Judgement, JudgeVote
from evalkit.core.run import Run
from evalkit.core.safe_text import format_json
from evalkit.core.spans import Span, ToolCall
from evalkit.core.trial import Output, Score, Trial
from evalkit.report import case_status
from evalkit.report.content import value_cell
from evalkit.report.documents import CaseDocument
from evalkit.report.json import run_document, trial_document, trial_documents
from evalkit.report.model import CaseDetails
from evalkit.report.screen import Screen, Style, heading, join_sections
from evalkit.report.span_lines import tree_lines

_MAX_TEXT_CHARS = 4000
_MAX_DETAIL_CHARS = 2000
_MAX_ARGUMENT_CHARS = 400
_MAX_EVIDENCE_CHARS = 400
_MAX_MESSAGE_CHARS = 8000
_JUDGE_INDENT, _JUDGE_HANG = " " * 7, " " * 9


def case_text(shown: CaseDetails, screen: Screen, *, verbose: bool = False) -> str:
    """Render every trial of a case, and one trial of the baseline, for a terminal.

    With `verbose`, also render what each judge was asked and answered, and the verdicts of each juror.
    """
    case, header = shown.case, shown.run.header
    whole, shown = shown, shown if verbose else _fold_judges(shown)
    units = {metric.name: metric.unit for metric in header.metrics}
    due = header.planned_trials().get(case.id, header.trials)
    trials = case_status.trials_of(shown.run, case.id)
    tags = f", tags {', '.join(case.tags)}" if case.tags else ""
    intro = screen.fold(
        f"{case.id}: {_passes_summary(trials)} in run {header.id}{tags}, {case.where}", hang="  "
    )
    titled = [(f"Trial {trial.number + 1} of {due}", trial) for trial in trials]
    titled += [
        (f"Fresh trial {trial.number - header.trials + 1}", trial)
        for trial in shown.run.fresh
        if trial.case_id == case.id
    ]
    sections = [
        list(_trial_lines(trial, title, units, screen, _spans_of(shown, trial)))
        for title, trial in titled
    ]
    return join_sections(
        [
            screen.paint_start(intro, screen.show(case.id, screen.columns), "bold"),
            _quoted("Input", case_status.input_text(case), screen),
            *(
                _quoted(title, case_status.json_text(label), screen)
                for title, label in (
                    ("Expected", case.expected),
                    ("Draft, unconfirmed", case.draft),
                )
                if label is not None
            ),
            *(sections or [["No trial was run."]]),
            _baseline_lines(shown, units, screen),
            screen.fold("What the judges were asked and answered: -v") if shown != whole else [],
        ]
    )


def _fold_judges(shown: CaseDetails) -> CaseDetails:
    """Return the case without the judges' conversations and without each juror's verdicts.

    The verdicts of a jury list the jurors' votes.
    """
    return replace(
        shown,
        run=_fold_run(shown.run, shown.case.id),
        baseline=_fold_run(shown.baseline, shown.case.id) if shown.baseline else None,
    )


def _fold_run(run: Run, case_id: str) -> Run:
    def fold(trials: Sequence[Trial]) -> tuple[Trial, ...]:
        return tuple(
            replace(trial, scores=tuple(map(_fold_score, trial.scores)))
            if trial.case_id == case_id
            else trial
            for trial in trials
        )

    return replace(run, trials=fold(run.trials), fresh=fold(run.fresh))


def _fold_score(score: Score) -> Score:
    judgement = score.judgement
    if judgement is None:
        return score
    jurors = tuple(replace(juror, verdicts=(), exchanges=()) for juror in judgement.jurors)
    return replace(score, judgement=replace(judgement, exchanges=(), jurors=jurors))


def _quoted(title: str, text: str, screen: Screen) -> list[str]:
    return [heading(title, screen), *screen.quote(text or "(empty)", limit=_MAX_TEXT_CHARS)]


def _passes_summary(trials: Sequence[Trial]) -> str:
    scored = sum(trial.state == "scored" for trial in trials)
    passes = case_status.passes_text(sum(trial.passed for trial in trials), scored)
    return f"{passes} passed" if scored else "no trial scored"


def _baseline_lines(shown: CaseDetails, units: dict[str, str], screen: Screen) -> list[str]:
    trials = case_status.trials_of(shown.baseline, shown.case.id)
    trial = case_status.representative_trial(trials, passed=True)
    if shown.baseline is None or trial is None:
        return []
    version = shown.baseline.header.agent_version or "no version"
    title = f"Baseline {version}, {_passes_summary(trials)}, trial {trial.number + 1}"
    return list(_trial_lines(trial, title, units, screen))


def _trial_lines(
    trial: Trial,
    title: str,
    units: dict[str, str],
    screen: Screen,
    spans: Sequence[Span] = (),
) -> Iterator[str]:
    word = "passed" if trial.passed else "failed"
    state = word if trial.state == "scored" else trial.state.replace("_", " ")
    attempts = f", {trial.attempts} attempts" if trial.attempts > 1 else ""
    about = ", ".join(filter(None, (state, _usage_text(trial.output))))
    for line in screen.fold(f"{title}: {about}{attempts}", hang="  "):
        yield screen.paint(line, "bold")
    yield from _output_lines(trial.output, screen)
    # The tree includes tool calls, so list them only if there are no spans.
    if spans:
        yield from tree_lines(spans, trial.output.latency_s, screen)
    else:
        calls = (f"tool {_tool_text(call)}" for call in trial.output.tool_calls)
        yield from screen.fold_all(calls, indent="  ", hang="    ")
    for score in trial.scores:
        start, style, rest = _score_line(score, units.get(score.metric, ""))
        lines = screen.fold(rest, indent=f"  {start} ", hang=" " * (len(start) + 3))
        yield from screen.paint_start(lines, start, style, indent="  ")
        if score.judgement is not None:
            yield from _judgement_lines(score.judgement, screen)


def _output_lines(output: Output, screen: Screen) -> Iterator[str]:
    for reply in output.replies[:-1]:
        yield from screen.quote(reply, limit=_MAX_TEXT_CHARS)
        yield ""
    if output.error is None:
        yield from screen.quote(case_status.answer_text(output) or "(empty)", limit=_MAX_TEXT_CHARS)
    else:
        yield from screen.fold(case_status.error_text(output), indent="  ", hang="  ")
        if output.error.detail:
            yield from screen.quote(output.error.detail, limit=_MAX_DETAIL_CHARS)


def _usage_text(output: Output) -> str:
    parts = [] if output.error and not output.latency_s else [value_cell(output.latency_s, "s")]
    if output.first_token_s is not None:
        parts.append(f"first token after {value_cell(output.first_token_s, 's')}")
    if output.cost_usd is not None:
        parts.append(value_cell(output.cost_usd, "usd"))
    if output.usage is not None:
        parts.append(f"{output.usage.input_tokens:,} + {output.usage.output_tokens:,} tokens")
    return ", ".join([*parts, *output.flags])


def _score_line(score: Score, unit: str) -> tuple[str, Style, str]:
    """Return the first word of a score's line, its style, and the rest of the line."""
    if score.state != "scored":
        word = score.state.replace("_", " ")
        return word, "warn", f"{score.metric}: {score.explanation or 'no value'}"
    explanation = f": {score.explanation}" if score.explanation else ""
    rest = f"{score.metric} {value_cell(score.value, unit)}{explanation}"
    if score.passed is None:
        return "    ", "", rest
    if score.advisory:
        return ("PASS" if score.passed else "FAIL"), "dim", f"{rest} (advisory)"
    return ("PASS", "good", rest) if score.passed else ("FAIL", "bad", rest)


def _tool_text(call: ToolCall) -> str:
    arguments = "" if call.arguments is None else case_status.json_text(call.arguments)
    outcome = (
        f"error: {call.error}" if call.error is not None else case_status.json_text(call.result)
    )
    took = "" if call.duration_s is None else f" ({value_cell(call.duration_s, 's')})"
    return (
        f"{call.name}({arguments[:_MAX_ARGUMENT_CHARS]}) -> {outcome[:_MAX_ARGUMENT_CHARS]}{took}"
    )


def _judgement_lines(judgement: Judgement, screen: Screen) -> Iterator[str]:
    """Yield every criterion with its evidence, then the judge and its conversation."""
    for verdict in judgement.verdicts:
        yield from _verdict_lines(verdict, screen)
    if judgement.judge:
        yield from screen.fold(_judge_line(judgement), indent=_JUDGE_INDENT, hang=_JUDGE_HANG)
    for exchange in judgement.exchanges:
        yield from _exchange_lines(exchange, screen)
    for juror in judgement.jurors:
        yield from _juror_lines(juror, screen)


def _juror_lines(juror: JudgeVote, screen: Screen) -> Iterator[str]:
    """Yield what one member of a jury said, or why it has no verdict."""
    problem = f": no verdict, {juror.problem}" if juror.problem else ""
    line = f"{_judge_line(juror)}{problem}"
    yield from screen.fold(line, indent=_JUDGE_INDENT, hang=_JUDGE_HANG)
    for verdict in juror.verdicts:
        yield from _verdict_lines(verdict, screen)
    for exchange in juror.exchanges:
        yield from _exchange_lines(exchange, screen)


def _verdict_lines(verdict: CriterionVerdict, screen: Screen) -> Iterator[str]:
    by = "" if verdict.by == "judge" else f" (by {verdict.by})"
    votes = f", votes {', '.join(verdict.votes)}" if verdict.votes else ""
    why = f": {verdict.explanation}" if verdict.explanation else ""
    line = f"{verdict.criterion} = {verdict.level}{votes}{by}{why}"
    yield from screen.fold(line, indent=_JUDGE_INDENT, hang=_JUDGE_HANG)
    if verdict.evidence:
        found = "" if verdict.is_quote else " (not found in the judged text)"
        quoted = f"evidence: {verdict.evidence[:_MAX_EVIDENCE_CHARS]}{found}"
        yield from screen.fold(quoted, indent=_JUDGE_HANG, hang=f"{_JUDGE_HANG}  ")


def _judge_line(judgement: Judgement | JudgeVote) -> str:
    parts = [f"judged by {judgement.judge}"]
    if judgement.model:
        parts.append(f"answering as {judgement.model} {judgement.fingerprint}".rstrip())
    if judgement.is_cached:
        parts.append("a cached verdict")
    elif judgement.calls:
        tokens = judgement.input_tokens + judgement.output_tokens
        parts += [format_count(judgement.calls, "call"), f"{tokens:,} tokens"]
        if judgement.cached_tokens:
            parts.append(f"{judgement.cached_tokens:,} of them from the provider's cache")
    if judgement.cost_usd is not None:
        parts.append(value_cell(judgement.cost_usd, "usd"))
    return ", ".join(parts)


def _exchange_lines(exchange: JudgeExchange, screen: Screen) -> Iterator[str]:
    yield f"{_JUDGE_INDENT}asked"
    yield from screen.quote(exchange.asked, limit=_MAX_MESSAGE_CHARS)
    yield f"{_JUDGE_INDENT}answered"
    yield from screen.quote(exchange.answered or "(nothing)", limit=_MAX_MESSAGE_CHARS)
    if exchange.problem:
        problem = f"no verdict: {exchange.problem}"
        yield from screen.fold(problem, indent=_JUDGE_INDENT, hang=_JUDGE_HANG)


def _spans_of(shown: CaseDetails, trial: Trial) -> tuple[Span, ...]:
    return shown.spans.get((trial.case_id, trial.number), ())


def _attach_spans(shown: CaseDetails, trial: Trial) -> Trial:
    return replace(trial, output=replace(trial.output, spans=_spans_of(shown, trial)))


def case_json(shown: CaseDetails) -> str:
    """Render one case of a run with all its trials as an `evalkit.case/v1` document."""
    case, run, baseline = shown.case, shown.run, shown.baseline
    document: CaseDocument = {
        "schema": "evalkit.case/v1",
        "run": run_document(run),
        "baseline": run_document(baseline) if baseline else None,
        "case": {
            "id": case.id,
            "input": msgspec.to_builtins(case.input),
            "expected": case.expected,
            "draft": case.draft,
            "provenance": case.provenance,
            "tags": case.tags,
            "metadata": case.metadata,
            "cluster": case.cluster,
            "digest": case.digest,
            "path": case.where.path,
            "line": case.where.line,
        },
        "trials": trial_documents(
            [_attach_spans(shown, trial) for trial in case_status.trials_of(run, case.id)],
            run.header.planned_trials().get(case.id, run.header.trials),
        ),
        "fresh_trials": [
            trial_document(_attach_spans(shown, trial))
            for trial in run.fresh
            if trial.case_id == case.id
        ],
        "baseline_trials": [
            trial_document(trial) for trial in case_status.trials_of(baseline, case.id)
        ],
    }
    return format_json(document)
