"""Judges that changed: anchors, drift and controls make a run undecided, never the agent worse."""

from __future__ import annotations

from dataclasses import replace

import pytest
from scipy.stats import binom

from evalkit.core.eval_set import Rule
from evalkit.core.gate_result import GateResult
from evalkit.core.judgement import AnchorResult, ControlResult, JudgeTrust
from evalkit.core.run import Run
from evalkit.gate.decide import decide_gate
from evalkit.gate.judge_trust import OnJudgeDrift, compare_anchors, explain_model_drift
from tests.support.run_samples import make_run

RULE = Rule(metric="accuracy", max_drop=0.02)


def anchors(agreed: int, of: int = 40, first: int = 0, **more: str | int) -> AnchorResult:
    """The judge agreed on so many anchors, in a row from `first`."""
    hits = {f"a{number:02}": first <= number < first + agreed for number in range(of)}
    return AnchorResult(metric="accuracy", agreed=hits, rubric_digest="r1", **more)  # type: ignore[arg-type]


def run_with(trust: JudgeTrust | None, *, advisory: str = "", passes: float = 1.0) -> Run:
    run = make_run({"accuracy": {f"c{number}": [passes] * 3 for number in range(30)}})
    infos = tuple(replace(info, advisory=advisory) for info in run.header.metrics)
    return replace(run, header=replace(run.header, metrics=infos), trust=trust)


def decided(
    now: JudgeTrust | None,
    then: JudgeTrust | None,
    *,
    advisory: str = "",
    passes: float = 1.0,
    on_judge_drift: OnJudgeDrift = "warn",
) -> GateResult:
    return decide_gate(
        [RULE],
        run_with(now, advisory=advisory, passes=passes),
        run_with(then),
        max_errors=0,
        on_inconclusive="pass",
        on_judge_drift=on_judge_drift,
    )


def trust(*results: AnchorResult, models: tuple[str, ...] = ("gpt-4o fp1",)) -> JudgeTrust:
    return JudgeTrust(judges=("gpt-4o",), models=models, anchors=results)


def test_a_judge_that_agrees_with_people_far_less_leaves_the_run_undecided() -> None:
    verdict = decided(trust(anchors(29)), trust(anchors(38)), passes=0.0)
    assert verdict.exit_code == 3
    assert verdict.reason.startswith(
        "Judge not trusted: the judge of accuracy has changed. It agreed with people on 38 of 40 anchors in the "
        "baseline and on 29 now, more than chance explains."
    )
    assert "failed on what was scored" not in verdict.reason
    assert [check.outcome for check in verdict.checks] == ["undecided"]


def test_a_fall_that_chance_explains_is_only_told_of() -> None:
    verdict = decided(trust(anchors(36)), trust(anchors(38)))
    assert verdict.exit_code == 0
    assert any("on 36 of 40 anchors; in the baseline on 38 of the 40" in n for n in verdict.notes)


def test_a_judge_that_agrees_more_is_no_trouble() -> None:
    assert decided(trust(anchors(40)), trust(anchors(10))).exit_code == 0


@pytest.mark.parametrize(
    "then",
    [
        None,
        JudgeTrust(judges=("gpt-4o",)),
        trust(replace(anchors(38), rubric_digest="r0")),
        trust(replace(anchors(38), metric="other")),
    ],
)
def test_without_the_same_anchors_in_the_baseline_they_are_only_reported(
    then: JudgeTrust | None,
) -> None:
    verdict = decided(trust(anchors(5, unjudged=3)), then)
    assert verdict.exit_code == 0
    assert any(note.endswith("on 5 of 40 anchors; 3 had no verdict.") for note in verdict.notes)


@pytest.mark.parametrize(("lost", "won"), [(0, 0), (1, 0), (4, 0), (5, 0), (6, 1), (9, 3), (2, 6)])
def test_the_test_is_mcnemars_with_mid_p(lost: int, won: int) -> None:
    steady = {f"s{number}": True for number in range(10)}
    then = {f"l{n}": True for n in range(lost)} | {f"w{n}": False for n in range(won)} | steady
    now = {f"l{n}": False for n in range(lost)} | {f"w{n}": True for n in range(won)} | steady
    paired = compare_anchors(
        AnchorResult(metric="m", agreed=then),
        AnchorResult(metric="m", agreed={**now, "new": False}),
    )
    changed = lost + won
    expected = binom.sf(lost - 1, changed, 0.5) - binom.pmf(lost, changed, 0.5) / 2
    assert paired.p_value == pytest.approx(expected)
    assert (paired.anchors, paired.agreed_before, paired.agreed_now) == (
        10 + changed,
        10 + lost,
        10 + won,
    )


def test_another_model_behind_the_same_name_is_drift() -> None:
    then, now = trust(), trust(models=("gpt-4o fp1", "gpt-4o fp2"))
    verdict = decided(now, then)
    assert verdict.exit_code == 0
    (note,) = [each for each in verdict.notes if each.startswith("judge drift: ")]
    assert "answered as gpt-4o fp1 in the baseline and as gpt-4o fp2 in this run" in note
    failed = decided(now, then, on_judge_drift="fail")
    assert failed.exit_code == 3
    assert failed.reason.startswith("Not decided: judge drift: gpt-4o answered as")


@pytest.mark.parametrize(
    ("now", "then"),
    [
        (trust(), trust()),
        (trust(), None),
        (trust(models=()), trust()),
        (trust(), trust(models=())),
        (trust(), trust(models=("gpt-4o fp1", "gpt-4o fp0"))),
        (JudgeTrust(judges=("other",), models=("x",)), trust()),
    ],
)
def test_what_is_no_drift(now: JudgeTrust, then: JudgeTrust | None) -> None:
    assert not explain_model_drift(now, then)


def test_an_advisory_metric_decides_nothing_by_its_anchors_or_controls_either() -> None:
    control = ControlResult(
        metric="accuracy", control="bad-1", should_pass=False, held=False, answered="same: yes"
    )
    now = replace(trust(anchors(5)), controls=(control,))
    assert decided(now, trust(anchors(38))).exit_code == 3
    verdict = decided(now, trust(anchors(38)), advisory="not calibrated", passes=0.0)
    assert verdict.exit_code == 0
    (check,) = verdict.checks
    assert (check.outcome, check.advisory) == ("fail", "not calibrated")
    assert any(note.startswith("ADVISORY: judge not trusted") for note in verdict.notes)


def control(*, held: bool | None, name: str = "bad-1") -> ControlResult:
    return ControlResult(
        metric="judged",
        control=name,
        should_pass=False,
        held=held,
        answered="no reply." if held is None else "same: yes",
        judge="m1 at host",
    )


JUDGED_RULES = [
    Rule(metric="judged", min=0.5),
    Rule(metric="exact", min=0.5),
    Rule(must_pass=()),
    Rule(max_regressed=0),
]


def judged_gate(
    *controls: ControlResult, exact: float = 1.0, judged: float | str = 1.0
) -> GateResult:
    ids = [f"c{number}" for number in range(30)]
    fine = {metric: {case: [1.0] for case in ids} for metric in ("judged", "exact")}
    cells = {
        "judged": {case: [judged] for case in ids},
        "exact": {case: [exact if case == "c1" else 1.0] for case in ids},
    }
    trusted = JudgeTrust(judges=("m1 at host",), controls=controls)
    return decide_gate(
        JUDGED_RULES,
        replace(make_run(cells), trust=trusted),  # type: ignore[arg-type] # a state is a cell as well
        make_run(fine),
        max_errors=0,
        on_inconclusive="pass",
    )


def outcomes(verdict: GateResult) -> list[str]:
    return [check.outcome for check in verdict.checks]


def test_thresholds_that_rest_on_a_judge_that_is_not_trusted_neither_pass_nor_fail() -> None:
    fine = judged_gate(control(held=True))
    assert (fine.exit_code, outcomes(fine)) == (0, ["pass"] * 4)
    wrong = control(held=False)
    for judged in (1.0, 0.0):
        verdict = judged_gate(wrong, control(held=None, name="lost"), judged=judged)
        assert verdict.exit_code == 3
        assert outcomes(verdict) == ["undecided", "pass", "undecided", "undecided"]
        assert verdict.checks[0].sentence.endswith("the judge of judged is not trusted.")
        assert verdict.reason == (
            "Judge not trusted: control 'bad-1' of judged should fail, and m1 at host answered: "
            "same: yes. 1 control could not be judged."
        )


def test_what_fails_without_the_judge_still_fails() -> None:
    verdict = judged_gate(control(held=False), exact=0.0)
    assert verdict.exit_code == 3
    assert outcomes(verdict) == ["undecided", "pass", "fail", "fail"]
    assert verdict.checks[2].hits[0].case_id == "c1"
    assert verdict.reason.endswith("2 thresholds failed on what was scored.")


def test_a_judge_that_is_not_trusted_comes_before_the_answers_that_it_did_not_score() -> None:
    verdict = judged_gate(control(held=False), control(held=False, name="bad-2"), judged="unscored")
    assert verdict.reason.startswith("Judge not trusted: control 'bad-1' of judged should fail")
    assert "2 controls failed in all. Not decided: 30 of 30 trials have no score" in verdict.reason


def test_a_control_that_could_not_be_judged_is_no_wrong_verdict_and_no_pass() -> None:
    verdict = judged_gate(control(held=None), control(held=True, name="good-1"))
    assert verdict.exit_code == 3
    assert verdict.reason == (
        "Judge not checked: control 'bad-1' of judged could not be judged by m1 at host: no reply. "
        "Judge the stored answers again (evalkit score run)."
    )
    assert outcomes(verdict) == ["undecided", "pass", "undecided", "undecided"]
