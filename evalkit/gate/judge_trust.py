"""Check whether the judges of a run can be trusted, and return a reason to not decide it, or notes.

A judge that got worse must not make the agent look worse. If it agrees with people on significantly fewer
anchors than in the baseline, the run is undecided.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import replace
from math import comb
from typing import Literal, NamedTuple, TypeAlias

from evalkit.core.format import format_count, name_rule
from evalkit.core.gate_result import Check
from evalkit.core.judgement import AnchorResult, ControlResult, JudgeTrust
from evalkit.core.run import Run
from evalkit.core.trial import Trial

OnJudgeDrift: TypeAlias = Literal["warn", "fail"]

ALPHA = 0.05
"""The one-sided level of the test whether a judge got worse on its anchors."""


class AnchorComparison(NamedTuple):
    """The number of anchors judged in both runs, and on how many judge and people agreed in each."""

    anchors: int
    agreed_before: int
    agreed_now: int
    p_value: float


def explain_judge_distrust(
    candidate: Run, baseline: Run | None, on_judge_drift: OnJudgeDrift
) -> str:
    """Return that the judges were not checked to the end, or that their model has changed; else empty.

    Problems with the judge of an advisory metric are reported in notes only.
    """
    judged = any(info.judge and not info.advisory for info in candidate.header.metrics)
    # The last controls are judged at the end of a run.
    if judged and not candidate.finished:
        return (
            "Not decided: all trials are done, but the run ended before the last check of its judge. "
            "Continue with --resume."
        )
    if candidate.trust is None:
        return ""
    drift = explain_model_drift(candidate.trust, _get_trust(baseline))
    return f"Not decided: {drift}" if drift and on_judge_drift == "fail" else ""


def explain_untrusted(candidate: Run, baseline: Run | None) -> str:
    """Return why the verdicts of a judge do not count: its controls, or its anchors; empty if they count.

    Reports begin with this sentence. Advisory metrics do not count.
    """
    if problem := explain_controls(candidate):
        return problem
    dropped = next(_iter_dropped_anchors(candidate, baseline), None)
    return f"judge not trusted: {_agreement_drop_text(*dropped)}" if dropped else ""


def _iter_dropped_anchors(
    candidate: Run, baseline: Run | None
) -> Iterator[tuple[AnchorResult, AnchorComparison]]:
    """Yield the anchors on which a judge agrees with people less than before, by more than chance."""
    advisory = _advisory_metrics(candidate)
    if candidate.trust is not None:
        for now, paired in _compare_shared_anchors(candidate.trust, _get_trust(baseline)):
            if now.metric not in advisory and paired.p_value <= ALPHA:
                yield now, paired


def _get_trust(run: Run | None) -> JudgeTrust | None:
    return run.trust if run is not None else None


def explain_controls(run: Run) -> str:
    """Return why the controls speak against a judge: the first that it got wrong, or that has no verdict.

    Empty if all passed. The controls of advisory metrics do not count.
    """
    return _controls_text(_find_bad_controls(run, advisory=False), run.header.id)


def find_untrusted_metrics(candidate: Run, baseline: Run | None) -> Mapping[str, bool]:
    """Return the metrics whose verdicts do not count, and whether their judge was wrong.

    It was if it failed a control or has got worse. Otherwise it was not checked completely.
    """
    found: dict[str, bool] = {}
    for each in _find_bad_controls(candidate, advisory=False):
        found[each.metric] = found.get(each.metric, False) or each.held is False
    return {**found, **{now.metric: True for now, _ in _iter_dropped_anchors(candidate, baseline)}}


def mask_metrics(run: Run, names: Container[str]) -> Run:
    """Return a run in which the scores of some metrics decide nothing."""
    header = run.header
    metrics = tuple(
        replace(info, advisory="its judge is not trusted") if info.name in names else info
        for info in header.metrics
    )
    return replace(
        run,
        header=replace(header, metrics=metrics),
        trials=tuple(_mask_trial(trial, names) for trial in run.trials),
        fresh=tuple(_mask_trial(trial, names) for trial in run.fresh),
    )


def _mask_trial(trial: Trial, names: Container[str]) -> Trial:
    scores = tuple(
        replace(score, advisory=True) if score.metric in names else score for score in trial.scores
    )
    return replace(trial, scores=scores)


def withhold_check(check: Check, masked: Check, untrusted: Mapping[str, bool]) -> Check:
    """Return a threshold as it is decided when some metrics have no trusted judge.

    A threshold that is not about one metric still fails if it fails without those metrics, as `masked`
    says.
    """
    rule = check.rule
    if check.advisory or (rule.metric and rule.metric not in untrusted):
        return check
    if not rule.metric and masked.outcome == "fail":
        return masked
    concerned = [rule.metric] if rule.metric else list(untrusted)
    names = ", ".join(concerned)
    is_wrong = any(untrusted[name] for name in concerned)
    was = "is not trusted" if is_wrong else "could not be checked"
    sentence = f"UNDECIDED {name_rule(rule)}: the judge of {names} {was}."
    return replace(check, outcome="undecided", sentence=sentence, to_decide="")


def withhold_unchecked(check: Check, candidate: Run) -> Check:
    """Return a threshold that holds as undecided if the run ended before the last check of its judge."""
    judged = [info.name for info in candidate.header.metrics if info.judge and not info.advisory]
    rests_on = [name for name in judged if check.rule.metric in (None, "", name)]
    if candidate.finished or check.advisory or check.outcome != "pass" or not rests_on:
        return check
    sentence = (
        f"UNDECIDED {name_rule(check.rule)}: the run ended before the last check of the judge of "
        f"{', '.join(rests_on)}."
    )
    return replace(check, outcome="undecided", sentence=sentence, to_decide="")


def _find_bad_controls(run: Run, *, advisory: bool) -> list[ControlResult]:
    """Return the controls that did not pass, wrong verdicts before missing ones."""
    if run.trust is None:
        return []
    bad = (*run.trust.failed_controls, *run.trust.lost_controls)
    names = _advisory_metrics(run)
    return [each for each in bad if (each.metric in names) == advisory]


def trust_notes(candidate: Run, baseline: Run | None) -> Iterator[str]:
    """Yield notes on anchors, model drift, and failed controls of advisory metrics."""
    trust = candidate.trust
    if trust is None:
        return
    before = _get_trust(baseline)
    if bad := _find_bad_controls(candidate, advisory=True):
        yield f"ADVISORY: {_controls_text(bad, candidate.header.id)}"
    compared = {now.metric: paired for now, paired in _compare_shared_anchors(trust, before)}
    for now in trust.anchors:
        yield _anchor_note(now, compared.get(now.metric))
    if drift := explain_model_drift(trust, before):
        yield drift
    for change in trust.changes:
        yield f"judge drift: {change} within this run. It was asked controls again after each change."


def explain_model_drift(trust: JudgeTrust, before: JudgeTrust | None) -> str:
    """Return the message that the model of a judge differs from the baseline's; empty if it does not."""
    if before is None or not before.models or not set(trust.judges) & set(before.judges):
        return ""
    new = [model for model in trust.models if model not in before.models]
    if not new:
        return ""
    return (
        f"judge drift: {trust.judges[0]} answered as {' and '.join(before.models)} in the baseline and as "
        f"{' and '.join(new)} in this run. Record the baseline again to have both judged by one model."
    )


def compare_anchors(then: AnchorResult, now: AnchorResult) -> AnchorComparison:
    """Test the anchors judged in both runs for a drop: McNemar's exact test with mid-p (Fagerland 2013)."""
    both = [anchor for anchor in now.agreed if anchor in then.agreed]
    lost = sum(then.agreed[anchor] and not now.agreed[anchor] for anchor in both)
    won = sum(now.agreed[anchor] and not then.agreed[anchor] for anchor in both)
    changed = lost + won
    # If nothing changed, a changed anchor is lost or won with equal chance.
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
    """Yield the anchors of each rubric that is the same in both runs."""
    known = {(each.metric, each.rubric_digest): each for each in (before.anchors if before else ())}
    for now in trust.anchors:
        then = known.get((now.metric, now.rubric_digest))
        if then is not None:
            yield now, compare_anchors(then, now)


def _controls_text(bad: Sequence[ControlResult], run_id: str) -> str:
    if not bad:
        return ""
    first = bad[0]
    wrong = sum(each.held is False for each in bad)
    lost = len(bad) - wrong
    where = f"control {first.control!r} of {first.metric}"
    counts = []
    if wrong > 1:
        counts.append(f"{format_count(wrong, 'control')} failed in all")
    if lost > (0 if wrong else 1):
        counts.append(f"{format_count(lost, 'control')} could not be judged")
    more = f" {' and '.join(counts)}." if counts else ""
    answered = first.answered.rstrip(".")
    if first.held is None:
        return (
            f"judge not checked: {where} could not be judged by {first.judge}: {answered}.{more} "
            f"Judge the stored answers again (evalkit score {run_id})."
        )
    wanted = "should pass" if first.should_pass else "should fail"
    return f"judge not trusted: {where} {wanted}, and {first.judge} answered: {answered}.{more}"


def _agreement_drop_text(now: AnchorResult, paired: AnchorComparison) -> str:
    return (
        f"the judge of {now.metric} has changed. It agreed with people on {paired.agreed_before} of "
        f"{format_count(paired.anchors, 'anchor')} in the baseline and on {paired.agreed_now} now, more than chance "
        "explains. Use the earlier model, or calibrate this one and record the baseline again."
    )


def _anchor_note(now: AnchorResult, paired: AnchorComparison | None) -> str:
    agreed = sum(now.agreed.values())
    text = f"{now.metric}: the judge agreed with people on {agreed} of {format_count(len(now.agreed), 'anchor')}"
    if paired is not None:
        text += f"; in the baseline on {paired.agreed_before} of the {paired.anchors} that were judged in both runs"
    if now.unjudged:
        text += f"; {now.unjudged} had no verdict"
    return f"{text}."
