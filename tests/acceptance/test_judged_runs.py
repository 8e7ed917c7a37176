"""Judged runs on the command line: rubrics, checks, a case's criteria, controls, changed judges."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.conftest import Done, Project

RUBRIC = """
    description: Whether an answer says what the reference says.
    needs: [reference]
    pass_at: 1
    criteria:
      - name: states
        question: How much of the reference does the answer state?
        weight: 3
        levels:
          - {name: all, value: 1}
          - {name: part, value: 0.5}
          - {name: none, value: 0}
      - {name: brief, check: {regex: '^.{0,60}$'}}
    controls:
      good:
        - {answer: It takes 3 days., reference: It takes 3 days.}
      bad:
        - {answer: It takes 9 weeks., reference: It takes 3 days.}
"""

RUDE = """
    higher_is_better: false
    pass_at: 0.2
    criteria:
      - name: rude
        question: Does the answer insult anybody?
        levels: [{name: no, value: 0}, {name: yes, value: 1}]
        otherwise: no
        examples: [{answer: You are a silly fool., level: yes}]
"""

SET = """
    evalset: days
    agent: {python: ./agent.py:answer}
    judge: lexical
    metrics:
      - rubric: rubrics/right.yaml
      - rubric: rubrics/rude.yaml
    gate:
      - {metric: right, min: 0.1}
      - {metric: rude, max: 0.9}
    cases:
      - {id: whole, input: delivery, expected: It takes 3 days by parcel.}
      - id: own
        input: repair
        expected: {answer: It takes 6 days by post., topic: other}
        criteria:
          - name: sorry
            question: Does the answer say sorry?
            examples: [{answer: Sorry., level: yes}]
          - {name: names the days, check: {regex: days}}
"""

AGENT = """
    ANSWERS = {
        "delivery": "It takes 3 days by parcel.",
        "repair": "Sorry, it takes 6 days by post.",
    }


    def answer(text):
        return ANSWERS[text]
"""


@pytest.fixture
def judged(project: Project) -> Project:
    project.write("evalkit.yaml", "")
    project.write("agent.py", AGENT)
    project.write("days.yaml", SET)
    project.write("rubrics/right.yaml", RUBRIC)
    project.write("rubrics/rude.yaml", RUDE)
    return project


def run(project: Project, *more: str) -> Done:
    return project.evalkit(
        "run", "days.yaml", "--allow-missing-baseline", "--format", "json", *more
    )


def edit(project: Project, name: str, before: str, after: str) -> None:
    path = project.folder / name
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after))


def scores(project: Project) -> dict[tuple[str, str], Any]:
    return {
        (row["case_id"], score["metric"]): score
        for row in project.rows()
        for score in row["scores"]
    }


def levels(score: Any) -> dict[str, str]:
    return {each["criterion"]: each["level"] for each in score["judgement"]["verdicts"]}


def test_a_judged_run_from_end_to_end(judged: Project) -> None:
    done = run(judged)
    assert done.code == 0, done
    found = scores(judged)
    assert set(found) == {
        ("whole", "right"),
        ("whole", "rude"),
        ("own", "right"),
        ("own", "rude"),
        ("own", "criteria"),
    }
    whole = found["whole", "right"]
    assert (whole["value"], whole["passed"]) == (1.0, True)
    assert levels(whole) == {"states": "all", "brief": "passed"}
    by = {each["criterion"]: each.get("by", "judge") for each in whole["judgement"]["verdicts"]}
    assert by == {"states": "judge", "brief": "check"}
    # The reference of a mapping is its `answer`; `topic` is not part of it.
    assert found["own", "right"]["value"] == 1.0
    assert levels(found["own", "criteria"]) == {"sorry": "yes", "names the days": "passed"}
    # Less is better, so that 0 passes.
    assert (found["own", "rude"]["value"], found["own", "rude"]["passed"]) == (0.0, True)
    trust = json.loads((judged.runs()[-1] / "judges.json").read_text())
    assert trust["judges"] == ["lexical"]
    names = {result["control"] for result in trust["controls"]}
    assert {"good-1", "bad-1", "bad-1 with instruction", "built-in bad"} <= names
    assert all(result["held"] for result in trust["controls"])
    shown = judged.evalkit("show", "latest", "own")
    assert "judged by lexical" in shown.out
    assert "by words alone" in shown.out


def test_a_wrong_rude_and_empty_answer_each_lose_what_they_should(judged: Project) -> None:
    edit(
        judged, "agent.py", "It takes 3 days by parcel.", "It takes 4 weeks. You are a silly fool."
    )
    edit(judged, "agent.py", "Sorry, it takes 6 days by post.", " ... ")
    run(judged)
    found = scores(judged)
    assert not found["whole", "right"]["passed"]
    assert (found["whole", "rude"]["value"], found["whole", "rude"]["passed"]) == (1.0, False)
    empty = found["own", "right"]
    assert empty["value"] == pytest.approx(0.25), "the check on its length is all that it passes"
    (floor,) = [each for each in empty["judgement"]["verdicts"] if each["criterion"] == "states"]
    assert floor["by"] == "floor"
    assert "no judge was asked" in floor["explanation"]
    assert levels(found["own", "criteria"]) == {"sorry": "no", "names the days": "failed"}
    assert not found["own", "criteria"]["passed"]


def test_a_judge_that_gets_a_control_wrong_decides_nothing(judged: Project) -> None:
    edit(judged, "rubrics/right.yaml", "It takes 9 weeks., ref", "It does take 3 days., ref")
    done = run(judged)
    assert done.code == 3, done
    told = done.out + done.err
    assert "bad-1" in told
    assert "lexical" in told
    assert "Judge not trusted" in told
    assert "accept as baseline" not in done.out
    promoted = judged.evalkit("baseline", "days.yaml", "--from", "latest")
    assert promoted.code == 3
    assert "not trusted" in promoted.err
    assert "evalkit score" in promoted.err
    assert not (judged.folder / "baselines").exists()


def test_controls_do_not_depend_on_scores(judged: Project) -> None:
    edit(
        judged,
        "rubrics/right.yaml",
        "good:\n    - {answer: It takes 3",
        "good:\n    - {answer: In 8",
    )
    assert run(judged).code == 3


def test_a_judge_of_criteria_alone_is_checked_too(judged: Project) -> None:
    edit(judged, "days.yaml", "  - rubric: rubrics/right.yaml\n  - rubric: rubrics/rude.yaml\n", "")
    edit(
        judged,
        "days.yaml",
        "metrics:\n",
        "metrics: [{regex: days, name: right}, {regex: fool, name: rude}]\n",
    )
    run(judged)
    trust = json.loads((judged.runs()[-1] / "judges.json").read_text())
    assert {result["control"] for result in trust["controls"]} >= {"built-in good", "built-in bad"}


def test_editing_a_rubric_has_the_baseline_judged_again_and_the_file_left_alone(
    judged: Project,
) -> None:
    edit(
        judged,
        "days.yaml",
        "{metric: right, min: 0.1}",
        "{metric: right, max_drop: 0.1, test: point}",
    )
    recorded = judged.evalkit("baseline", "days.yaml", "--trials", "3")
    assert recorded.code == 0, recorded
    path = judged.folder / "baselines/days.jsonl"
    before = path.read_text()
    cases = "".join(before.splitlines()[1:])
    assert "by words alone" not in cases, "only losses are explained in a baseline"
    assert "states: all" in cases
    same = judged.evalkit("run", "days.yaml")
    assert same.code == 0, same
    assert "the baseline was judged differently" not in same.err
    edit(judged, "rubrics/right.yaml", "name: part, value: 0.5", "name: part, value: 0.4")
    again = judged.evalkit("run", "days.yaml")
    assert again.code == 0, again
    assert "right: the baseline was judged differently" in again.err
    assert path.read_text() == before
    # A change that no judge sees and no score counts, such as another control, is no reason.
    edit(judged, "rubrics/right.yaml", "value: 0.4", "value: 0.5")
    edit(judged, "rubrics/right.yaml", "It takes 9 weeks.", "It takes 8 weeks.")
    assert "the baseline was judged differently" not in judged.evalkit("run", "days.yaml").err


def test_a_drop_that_only_the_judge_sees_fails_the_build(judged: Project) -> None:
    edit(
        judged,
        "days.yaml",
        "{metric: right, min: 0.1}",
        "{metric: right, max_drop: 0.1, test: point}",
    )
    assert judged.evalkit("baseline", "days.yaml", "--trials", "3").code == 0
    edit(judged, "agent.py", "It takes 3 days by parcel.", "It takes 5 days by parcel.")
    done = judged.evalkit("run", "days.yaml")
    assert done.code == 1, done
    assert "right" in done.out


def test_validate_takes_rubrics_and_sets_and_tells_all_that_is_wrong(judged: Project) -> None:
    done = judged.evalkit(
        "validate", "rubrics/right.yaml", "rubrics/rude.yaml", "days.yaml", "--format", "json"
    )
    assert done.code == 0, done
    right, rude = done.json["rubrics"]
    assert (right["name"], right["criteria"], right["checks"]) == ("right", 2, 1)
    assert (right["controls"], rude["controls"]) == (
        {"good": 1, "bad": 1},
        {"good": 0, "bad": 0},
    )
    assert [each["name"] for each in done.json["evalsets"]] == ["days"]
    assert (
        "a rubric of 2 criteria (1 check)" in judged.evalkit("validate", "rubrics/right.yaml").out
    )
    edit(judged, "rubrics/right.yaml", "pass_at: 1", "pass_at: 60")
    edit(judged, "rubrics/rude.yaml", "otherwise: no", "otherwise: never")
    edit(judged, "days.yaml", "judge: lexical", "judge: lexicla")
    done = judged.evalkit("validate", "rubrics/right.yaml", "days.yaml", "rubrics/rude.yaml")
    assert done.code == 2
    told = done.err.strip().splitlines()
    assert len(told) == 3, told
    assert any(line.startswith("rubrics/right.yaml:3: ") for line in told)
    assert any(line.startswith("rubrics/rude.yaml:7: ") for line in told)
    assert any(line.startswith("days.yaml:3: judge 'lexicla' is unknown") for line in told)


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ("rubrics/right.yaml", "rubrics/rigth.yaml", "days.yaml:5: rubric 'rubrics/rigth.yaml': the file does not exist; did you mean 'right.yaml'?"),
        ("rubric: rubrics/right.yaml", "rubric: ../../right.yaml", "days.yaml:5: rubric: file: '../../right.yaml' is outside of the project"),
        ("rubric: rubrics/right.yaml", "rubric", "days.yaml:5: rubric: it names no file"),
        ("rubric: rubrics/right.yaml", "rubric: {file: rubrics/right.yaml, refrence: x}", "days.yaml:5: rubric: there is no argument 'refrence'. Did you mean 'reference'?"),
        ("rubric: rubrics/right.yaml", "rubric: {file: rubrics/right.yaml, reference: answr}", "days.yaml:5: metric 'right' scores no case: none has a reference, looked for in `expected.answr`"),
        ("rubric: rubrics/rude.yaml", "rubric: {file: rubrics/rude.yaml, of: txt}", "days.yaml:6: rubric: of: an output has no 'txt'"),
        ("rubric: rubrics/rude.yaml", "rubric: {file: rubrics/rude.yaml, context: case.label}", "days.yaml:6: rubric: context: a case has no 'label'"),
        ("rubric: rubrics/rude.yaml", "rubric: rubrics/right.yaml", "a second metric is called 'right'; the first is in line 5"),
        ("judge: lexical\n", "", "days.yaml:4: right: a rubric needs a judge, but the set names none"),
        ("judge: lexical", "judge: {lexical: {model: x}}", "days.yaml:3: judge lexical: it takes no arguments"),
        ("check: {regex: days}", "check: {regex: '('}", "days.yaml:16: criterion 'names the days': check: regex: '(' is not a regular expression"),
        ("check: {regex: days}", "check: politeness", "days.yaml:16: criterion 'names the days': check: no built-in metric 'politeness'"),
        ("expected: {answer: It takes 6 days by post., topic: other}", "expected: {topic: other}", "case 'own': right: expected is a mapping without `answer`, but the rubric needs a reference"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_judged_set_is_told_with_its_line_before_any_call(
    judged: Project, before: str, after: str, told: str
) -> None:
    edit(judged, "days.yaml", before, after)
    done = judged.evalkit("validate", "days.yaml")
    assert done.code == 2, done
    assert told in done.err
    assert not judged.runs()


def test_one_name_is_one_rubric_in_all_cases(judged: Project) -> None:
    judged.write("rubrics/other.yaml", "pass_at: 1\ncriteria: [Is it kind?]\n")
    edit(
        judged,
        "days.yaml",
        "input: repair\n",
        "input: repair\n    metrics: [{rubric: rubrics/other.yaml, name: right}]\n",
    )
    done = judged.evalkit("validate", "days.yaml")
    assert done.code == 2
    assert "right: another rubric has this name, at days.yaml:" in done.err


def test_a_check_that_needs_a_label_is_told_for_the_case_that_has_none(judged: Project) -> None:
    judged.write("rubrics/rude.yaml", "pass_at: 1\ncriteria: [{name: same, check: exact_match}]\n")
    edit(judged, "days.yaml", "expected: It takes 3 days by parcel.", "expected: null")
    done = judged.evalkit("validate", "days.yaml")
    assert done.code == 2
    assert "case 'whole': rude: criterion 'same': its check exact_match needs a label" in done.err


def test_a_check_s_own_file_is_looked_for_beside_the_rubric(judged: Project) -> None:
    judged.write("rubrics/shape.json", '{"type": "object"}')
    judged.write(
        "rubrics/rude.yaml",
        "pass_at: 1\ncriteria: [{name: shape, check: {json: {schema: shape.json}}}]\n",
    )
    edit(judged, "days.yaml", "{metric: rude, max: 0.9}", "{metric: rude, max: 0.9, test: point}")
    assert judged.evalkit("validate", "days.yaml", "rubrics/rude.yaml").code == 0


def test_a_rubric_is_shown_no_reference_that_it_does_not_need(judged: Project) -> None:
    judged.write(
        "rubrics/rude.yaml",
        """
        pass_at: 0.5
        criteria:
          - question: Does it say what was asked for?
        """,
    )
    edit(judged, "days.yaml", "{metric: rude, max: 0.9}", "{metric: rude, min: 0.1, test: point}")
    run(judged)
    explanation = scores(judged)["whole", "rude"]["explanation"]
    assert "of the question's words" in explanation
    assert "reference" not in explanation


def test_criteria_come_on_top_of_the_default_metric(project: Project) -> None:
    project.write(
        "set.yaml",
        """
        agent: {python: ./agent.py:answer}
        cases:
          - id: a
            input: abc
            expected: ABC
            criteria: [{name: three, check: {regex: '^...$'}}]
        """,
    )
    assert project.evalkit("run", "set.yaml").code == 0
    assert {metric for _, metric in scores(project)} == {"exact_match", "criteria"}
