"""What a run showed of its judges into why it is not to be decided, or what is to be known of them.

A judge that got worse must not make the agent look worse: where it agrees with people on fewer anchors
than in the baseline, beyond chance, the run is undecided.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import comb
from typing import Literal, NamedTuple, TypeAlias

from evalkit.core.format import format_count
from evalkit.core.judgement import AnchorResult, ControlResult, JudgeTrust
from evalkit.core.run import Run

OnJudgeDrift: TypeAlias = Literal["warn", "fail"]

ALPHA = 0.05
"""One-sided, of an anchor set of which the judge did not get worse."""


class AnchorComparison(NamedTuple):
    """Anchors judged then and now: how many there are, and on how many people and judge agreed."""

    anchors: int
    agreed_before: int
    agreed_now: int
    p_value: float


def explain_judge_distrust(
    candidate: Run, baseline: Run | None, on_judge_drift: OnJudgeDrift
) -> str:
    """Why what the judges said cannot be believed; empty when it can, or nobody judged.

    What an advisory metric's judge does is for its notes alone.
    """
    judged = any(info.judge and not info.advisory for info in candidate.header.metrics)
    if judged and not candidate.finished:
        return (
            "Not decided: every trial is done, but the run was ended before it was sure that one judge "
            "gave all verdicts and that it can be trusted. Go on with --resume."
        )
    trust = candidate.trust
    if trust is None:
        return ""
    if failed := explain_failed_controls(candidate):
        return f"Not decided: {failed}"
    advisory = _advisory_metrics(candidate)
    before = baseline.trust if baseline is not None else None
    for now, paired in _compare_shared_anchors(trust, before):
        if now.metric not in advisory and paired.p_value <= ALPHA:
            return f"Not decided: {_agreement_drop_text(now, paired)}"
    drift = explain_model_drift(trust, before)
    return f"Not decided: {drift}" if drift and on_judge_drift == "fail" else ""


def explain_failed_controls(run: Run) -> str:
    """Which known answer a judge got wrong, and how many; empty where every control held."""
    advisory = _advisory_metrics(run)
    failed = run.trust.failed_controls if run.trust is not None else ()
    deciding = [each for each in failed if each.metric not in advisory]
    return _failed_text(deciding) if deciding else ""


def trust_notes(candidate: Run, baseline: Run | None) -> Iterator[str]:
    """How the anchors came out, what drifted, and which judge of an advisory metric failed."""
    trust = candidate.trust
    if trust is None:
        return
    before = baseline.trust if baseline is not None else None
    advisory = _advisory_metrics(candidate)
    aside = [each for each in trust.failed_controls if each.metric in advisory]
    if aside:
        yield f"ADVISORY: {_failed_text(aside)}"
    compared = {now.metric: paired for now, paired in _compare_shared_anchors(trust, before)}
    for now in trust.anchors:
        yield _anchor_note(now, compared.get(now.metric))
    if drift := explain_model_drift(trust, before):
        yield drift


def explain_model_drift(trust: JudgeTrust, before: JudgeTrust | None) -> str:
    """That a judge of the same name answers as another model than in the baseline; empty if none does."""
    if before is None or not set(trust.judges) & set(before.judges):
        return ""
    new = [model for model in trust.models if model not in before.models]
    if not new or not before.models:
        return ""
    return (
        f"judge drift: {trust.judges[0]} answered as {' and '.join(before.models)} in the baseline and as "
        f"{' and '.join(new)} in this run. Record the baseline again to have both judged by one model."
    )


def compare_anchors(then: AnchorResult, now: AnchorResult) -> AnchorComparison:
    """The anchors that both judged, by McNemar's exact test for a fall, with mid-p (Fagerland 2013)."""
    both = [anchor for anchor in now.agreed if anchor in then.agreed]
    lost = sum(then.agreed[anchor] and not now.agreed[anchor] for anchor in both)
    won = sum(now.agreed[anchor] and not then.agreed[anchor] for anchor in both)
    changed = lost + won
    as_bad = sum(comb(changed, count) for count in range(lost, changed + 1))
    p_value = (as_bad - comb(changed, lost) / 2) / 2**changed
    return AnchorComparison(
        anchors=len(both),
        agreed_before=sum(then.agreed[anchor] for anchor in both),
        agreed_now=sum(now.agreed[anchor] for anchor in both),
        p_value=p_value,
    )


def _advisory_metrics(run: Run) -> frozenset[str]:
    return frozenset(info.name for info in run.header.metrics if info.advisory)


def _compare_shared_anchors(
    trust: JudgeTrust, before: JudgeTrust | None
) -> Iterator[tuple[AnchorResult, AnchorComparison]]:
    """The anchors of rubrics that are the same in both runs."""
    known = {(each.metric, each.rubric_digest): each for each in (before.anchors if before else ())}
    for now in trust.anchors:
        then = known.get((now.metric, now.rubric_digest))
        if then is not None:
            yield now, compare_anchors(then, now)


def _failed_text(failed: list[ControlResult]) -> str:
    first = failed[0]
    more = f" {format_count(len(failed), 'control')} failed in all." if failed[1:] else ""
    wanted = "passes" if first.should_pass else "fails"
    return (
        f"the judge {first.judge} cannot be trusted with {first.metric}. It was given the "
        f"known answer {first.control!r}, which {wanted}, and said: {first.answered}.{more}"
    )


def _agreement_drop_text(now: AnchorResult, paired: AnchorComparison) -> str:
    return (
        f"the judge of {now.metric} has changed. It agreed with people on {paired.agreed_before} of "
        f"{format_count(paired.anchors, 'anchor')} in the baseline and on {paired.agreed_now} now, more than chance "
        "explains. Use the model of then, or calibrate this one and record the baseline again."
    )


def _anchor_note(now: AnchorResult, paired: AnchorComparison | None) -> str:
    agreed = sum(now.agreed.values())
    text = f"{now.metric}: the judge agreed with people on {agreed} of {format_count(len(now.agreed), 'anchor')}"
    if paired is not None:
        text += f"; in the baseline on {paired.agreed_before} of the {paired.anchors} that were judged then too"
    if now.unjudged:
        text += f"; {now.unjudged} had no verdict"
    return f"{text}."
