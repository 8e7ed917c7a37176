"""What a page says first: the result in one sentence, its numbers beside their limits, what cases share."""

from __future__ import annotations

from dataclasses import replace

import pytest

from evalkit.core.check_scale import place_check
from evalkit.core.eval_set import Rule
from evalkit.core.gate_result import Check, GateResult, Tally
from evalkit.core.literals import TRIAL_STATES
from evalkit.core.run import MetricInfo
from evalkit.core.spans import ToolCall
from evalkit.core.trial import AgentError
from evalkit.report.case_status import case_results, reason_text
from evalkit.report.html.thresholds import draw_thresholds
from evalkit.report.in_common import find_in_common
from evalkit.report.verdict import find_headline
from tests.support.report_samples import candidate_run, failing_report

HEADER = replace(
    candidate_run().header, metrics=(MetricInfo(name="facts"), MetricInfo(name="time", unit="s"))
)
DROP = Check(
    rule=Rule(metric="facts", stat="rate", max_drop=0.02),
    outcome="fail",
    sentence="FAIL facts rate 79.2% -> 60.0% (-19.2 pt, ...). Most affected in facts: a, b.",
    baseline=0.792,
    candidate=0.6,
    difference=-0.192,
    low=-0.29,
    high=-0.1,
    display_low=-0.27,
    display_high=-0.12,
    p_value=1e-9,
)
FLOOR = Check(
    rule=Rule(metric="facts", min=0.7),
    outcome="inconclusive",
    sentence="INCONCLUSIVE facts 62.7% (...). At least 70% is required.",
    candidate=0.627,
    low=0.548,
    high=0.705,
    display_low=0.548,
    display_high=0.705,
)
SLOWER = Check(
    rule=Rule(metric="time", max_rise=0.1, and_at_least=0.05),
    outcome="pass",
    sentence="PASS time",
    baseline=0.2,
    candidate=0.22,
    difference=0.1,
    display_low=-0.05,
    display_high=0.2,
)
COUNT = Check(
    rule=Rule(max_regressed=0),
    outcome="fail",
    sentence="FAIL regressed cases: 3 passed in the baseline and fail now, at most 0 allowed.",
    candidate=3,
    cases=8,
)


def say(reason: str, *checks: Check) -> tuple[str, str]:
    tally = Tally(selected=8, counts={**dict.fromkeys(TRIAL_STATES, 0), "scored": 8})
    result = GateResult(
        outcome=checks[0].outcome, exit_code=1, reason=reason, tally=tally, checks=checks
    )
    return find_headline(HEADER, result)


def test_the_result_is_one_sentence_with_reason_size_and_limit() -> None:
    # The odds are those of the sentence, which the p-value alone does not give.
    odds = "If nothing had changed, a result this bad would come up at most 1 time in 320,000."
    drop = replace(DROP, sentence=f"{DROP.sentence} {odds}")
    finding, rest = say(f"{drop.sentence} 2 of 7 thresholds failed.", drop)
    assert finding == "facts rate fell 19.2 points"
    assert rest == (
        ", from 79.2% to 60.0%; a drop of 2 points is allowed. If nothing had changed, a result this "
        "bad would come up at most 1 time in 320,000. 2 of 7 thresholds failed."
    )
    finding, rest = say(FLOOR.sentence, FLOOR)
    assert f"{finding}{rest}" == (
        "facts is 62.7%; at least 70% is required, and its interval, 54.8% to 70.5%, includes that."
    )


def test_what_only_a_sentence_can_say_is_not_shortened() -> None:
    for reason, checks in (
        ("Not decided: 3 trials have no score.", (DROP,)),
        (COUNT.sentence.removeprefix("FAIL "), (COUNT,)),
    ):
        finding, rest = say(reason, *checks)
        assert f"{finding}{rest}" == reason
    odd = replace(DROP, sentence="FAIL facts rate. The interval includes 0, because cases weigh.")
    assert "".join(say(odd.sentence, odd)) == odd.sentence.removeprefix("FAIL ")
    stopped = f"stopped at the first failure, after 3 trials. {DROP.sentence}"
    finding, rest = say(stopped, DROP)
    assert rest.startswith(
        "stopped at the first failure, after 3 trials. facts rate fell 19.2 points"
    )


def test_every_number_of_a_threshold_is_a_value_beside_its_limit() -> None:
    drop, floor, slower, count = (
        place_check(check, unit)
        for check, unit in ((DROP, ""), (FLOOR, ""), (SLOWER, "s"), (COUNT, ""))
    )
    assert drop is not None
    assert floor is not None
    assert slower is not None
    assert count is not None
    assert drop.numbers == pytest.approx((0.6, 0.522, 0.672, 0.792, 0.772))
    assert not drop.is_upper
    assert floor.numbers == (0.627, 0.548, 0.705, 0.7)
    # The larger of 10 % of the baseline and of 50 ms is allowed.
    assert slower.numbers == pytest.approx((0.22, 0.19, 0.24, 0.2, 0.25))
    assert slower.is_upper
    assert (count.value, count.limit, count.is_upper) == (3, 0, True)


def test_thresholds_of_shares_have_one_axis_that_fits_away_no_limit() -> None:
    narrow = replace(FLOOR, rule=Rule(metric="facts", min=0.9), candidate=0.95)
    drawn = draw_thresholds(HEADER, (replace(narrow, display_low=0.93, display_high=0.97), SLOWER))
    share, own = drawn.rows
    assert drawn.axis_text.startswith("axis from 89.")
    assert 0 < share["plot"]["limit"] < share["plot"]["interval"][0] < share["plot"]["value"] < 1
    assert own["limit"].endswith("own axis")
    assert own["plot"]["zone"] == (own["plot"]["limit"], 1.0)
    whole = draw_thresholds(HEADER, (DROP, FLOOR, replace(FLOOR, candidate=0.1)))
    assert [tick.text for tick in whole.ticks] == ["0%", "25%", "50%", "75%", "100%"]
    assert whole.rows[0]["label"] == (
        "facts rate: 60.0%, was 79.2%, allowed drop ≤ 2 pt, 52.2% to 67.2%: FAIL"
    )


def test_thresholds_that_hold_are_folded_only_where_there_are_many() -> None:
    held = replace(FLOOR, outcome="pass")
    assert draw_thresholds(HEADER, (FLOOR, *[held] * 10)).shown == 11
    assert draw_thresholds(HEADER, (FLOOR, *[held] * 20)).shown == 10
    assert draw_thresholds(HEADER, (*[FLOOR] * 15, *[held] * 20)).shown == 15


def test_what_broken_cases_have_in_common_is_counted() -> None:
    report = failing_report()
    run, result = report.run, replace(report.gate_result, comparison=None)
    first = run.header.cases[0].id

    def same(case_id: str) -> str:
        return "I do not know that." if case_id != first else "Something else entirely."

    trials = tuple(
        replace(
            trial,
            output=replace(
                trial.output,
                text=same(trial.case_id),
                error=None,
                tool_calls=(ToolCall(name="give_up"),),
            ),
            scores=tuple(
                replace(score, passed=False, state="scored", value=0.0) for score in trial.scores
            ),
        )
        for trial in run.trials
    )
    results = case_results(replace(run, trials=trials), result, report.baseline)
    broken = [result for result in results if result.is_broken]
    assert len(broken) >= 4
    said = [finding.sentence for finding in find_in_common(results)]
    others = sum(result.case.id != first for result in broken if result.trials)
    count = f"{others} of {len(broken)}" if others < len(broken) else f"All {others}"
    assert said[0] == f"{count} cases that need attention get the same answer: I do not know that."
    assert any(sentence.endswith("now call give_up.") for sentence in said)
    down = tuple(
        replace(
            trial, output=replace(trial.output, error=AgentError(kind="timeout", message="10 s"))
        )
        for trial in trials
    )
    results = case_results(replace(run, trials=down), result, report.baseline)
    said = [finding.sentence for finding in find_in_common(results)]
    assert any("end in the error timeout: 10 s." in sentence for sentence in said)
    assert find_in_common(results[:1]) == []


def test_the_reason_of_a_case_is_one_line() -> None:
    report = failing_report()
    trials = tuple(
        replace(
            trial,
            scores=tuple(
                replace(score, explanation=" 2 of 4 passed\n\n- a\r\n- b ")
                for score in trial.scores
            ),
        )
        for trial in report.run.trials
    )
    results = case_results(replace(report.run, trials=trials), report.gate_result, report.baseline)
    reasons = [reason_text(result) for result in results if result.is_broken]
    assert any("2 of 4 passed; - a; - b" in reason for reason in reasons)
    assert not any("\n" in reason or "\r" in reason for reason in reasons)
