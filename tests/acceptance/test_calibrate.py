"""`evalkit calibrate`, its file, and rubrics that require a calibration."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from evalkit.core.calibration import Calibration, CriterionCalibration, find_unmet_requirement
from evalkit.core.rubric import CalibrationRequirement, Criterion, Rubric
from evalkit.evalset.calibrations import (
    explain_advisory,
    find_calibration_path,
    format_calibrations,
    load_calibrations,
)
from evalkit.evalset.rubrics import load_rubric
from evalkit.stats.agreement import compare_raters, measure_agreement
from tests.conftest import Project
from tests.evalset.test_schemas import validator

RUBRIC = """
    rubric: shout
    needs: [reference]
    pass_at: 1
    require_calibration: {kappa: 0.6, labels: 8}
    anchors: anchors.yaml
    criteria:
      - {name: same, question: Does the answer say what the reference says?}
"""

LABELS = """
    answer,level,reference,rater,note
    ONE,yes,one,ann,
    ONE,yes,one,bob,
    Two,yes,two,ann,
    Two,yes,two,bob,
    III,yes,three,ann,a numeral is right as well
    III,no,three,bob,
    III,yes,three,cleo,
    four,yes,four,ann,
    nothing,no,five,ann,
    bananas,no,six,ann,
    oranges,no,seven,ann,
    "",no,eight,ann,
    grapes,no,nine,ann,
    melons,yes,ten,ann,
    melons,no,ten,bob,
"""

SET = """
    evalset: echo
    agent: {python: ./agent.py:answer}
    judge: lexical
    metrics: [{regex: .}, rubric: shout.yaml]
    gate:
      - {metric: shout, min: 0.9, test: point}
      - {metric: shout, max_drop: 0.02}
      - must_pass: all
      - max_regressed: 0
    cases:
      - {id: one, input: one, expected: one}
      - {id: two, input: two, expected: two}
"""

AGENT = """
    import os

    def answer(text):
        return text
"""

ANCHORS = """
    labels:
    - {answer: one, level: yes, reference: one}
    - {answer: "", level: no, reference: one}
    - {answer: bananas, level: yes, reference: two}
"""


@pytest.fixture
def judged(project: Project) -> Project:
    for name, content in (
        ("shout.yaml", RUBRIC),
        ("labels.csv", LABELS),
        ("echo.yaml", SET),
        ("agent.py", AGENT),
        ("anchors.yaml", ANCHORS),
    ):
        project.write(name, content)
    return project


def calibrate(project: Project, *more: str) -> Any:
    return project.evalkit("calibrate", "shout.yaml", "labels.csv", "--judge", "lexical", *more)


def test_a_judge_is_held_against_people_and_the_result_kept(judged: Project) -> None:
    done = calibrate(judged, "--repeats", "2", "--format", "json")
    assert done.code == 0, done.err
    validator("report").validate(done.json)
    (found,) = done.json["calibration"]["criteria"]
    # ONE, Two, four are judged yes; III, which most call right, no; the melons have no majority.
    assert found["agreement"]["confusion"] == [[3, 1], [0, 5]]
    assert found["agreement"]["kappa"]["value"] == pytest.approx((8 / 9 - 42 / 81) / (1 - 42 / 81))
    assert found["divided"] == 1
    assert found["unjudged"] == 0
    assert found["flip_rate"] == 0.0
    assert done.json["calibration"]["raters"] == ["ann", "bob", "cleo"]
    pairs = {(each["rater"], each["other"]): each["agreement"] for each in found["people"]}
    assert pairs["ann", "bob"]["confusion"] == [[2, 2], [0, 0]]
    assert ("cleo", "") not in pairs, "ann and bob have no majority"
    (worst,) = done.json["disagreements"]
    assert (worst["label"]["answer"], worst["people"], worst["judge"]) == ("III", "yes", "no")
    assert worst["label"]["note"] == "a numeral is right as well"
    first = (judged.folder / "shout.calibration.json").read_bytes()
    assert calibrate(judged, "--repeats", "2").code == 0
    assert (judged.folder / "shout.calibration.json").read_bytes() == first


def test_the_table_shows_the_figures_the_worst_misses_and_people_for_scale(
    judged: Project,
) -> None:
    done = calibrate(judged)
    for words in (
        "lexical under shout, against people",
        "10 answers labeled by ann, bob, cleo in labels.csv",
        "0.77",
        "answering no to all would reach 55.6%",
        "1 answer left out, because people are evenly divided",
        "judge: yes",
        "1 disagreement",
        "a numeral is right as well",
        "Stored in shout.calibration.json",
    ):
        assert words in done.out, words


def test_a_judge_below_what_the_rubric_requires_is_told_by_the_exit_code(judged: Project) -> None:
    text = (judged.folder / "shout.yaml").read_text()
    (judged.folder / "shout.yaml").write_text(text.replace("kappa: 0.6", "kappa: 0.9"))
    done = calibrate(judged)
    assert done.code == 1
    assert "Not calibrated: kappa of same is 0.77, below the required 0.9." in " ".join(
        done.out.split()
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "no judge is named. Add --judge lexical"),
        (("--judge", "lexcal"), "--judge:1: judge 'lexcal' is unknown; did you mean 'lexical'?"),
        (("--judge", "lexical", "--set", "echo.yaml"), "--judge and --set exclude each other."),
        (("--judge", "{openai: {model: x"), "--judge:2: not valid YAML"),
    ],
)
def test_who_judges_has_to_be_plain(
    judged: Project, arguments: tuple[str, ...], message: str
) -> None:
    done = judged.evalkit("calibrate", "shout.yaml", "labels.csv", *arguments)
    assert done.code == 2
    assert message in done.err


def test_the_judge_of_a_set_or_of_the_project_is_found(judged: Project) -> None:
    assert judged.evalkit("calibrate", "shout.yaml", "labels.csv", "--set", "echo.yaml").code == 0
    judged.write("evalkit.yaml", "judge: lexical\n")
    assert judged.evalkit("calibrate", "shout.yaml", "labels.csv").code == 0


def test_labels_that_lack_what_the_judge_needs_are_refused(judged: Project) -> None:
    judged.write("labels.csv", "answer,level\nx,yes\n")
    done = calibrate(judged)
    assert done.code == 2
    assert done.err.startswith(
        "labels.csv: 1 of 1 labels have no reference, which the rubric needs"
    )


def test_an_uncalibrated_rubric_decides_nothing_and_a_calibrated_one_does(judged: Project) -> None:
    judged.write("agent.py", "def answer(text):\n    return text\n")
    assert judged.evalkit("baseline", "echo.yaml", "--trials", "3").code == 0
    # The rubric fails everything now, and it alone.
    judged.write("agent.py", "def answer(text):\n    return 'bananas'\n")
    advisory = judged.evalkit(
        "run", "echo.yaml", "--format", "json", "--junit", "j.xml", "--markdown", "m.md"
    )
    assert advisory.code == 0, advisory.out
    checks = {check["name"]: check for check in advisory.json["checks"] if check["rule"]["min"]}
    assert checks["shout"]["outcome"] == "fail"
    assert "has not been calibrated" in checks["shout"]["advisory"]
    assert advisory.json["statuses"]["passed"] == 2, "no case fails by an advisory score"
    assert any(note.startswith("ADVISORY: shout:") for note in advisory.json["notes"])
    assert 'type="advisory"' in (judged.folder / "j.xml").read_text()
    assert "FAIL (advisory)" in (judged.folder / "m.md").read_text()
    assert "<failure" not in (judged.folder / "j.xml").read_text()

    assert calibrate(judged).code == 0
    again = judged.evalkit("gate", "latest", "--format", "json")
    assert again.code == 0, "a stored run is decided as it was scored"
    scored = judged.evalkit("score", "latest", "--format", "json")
    assert scored.code == 1
    deciding = judged.evalkit("run", "echo.yaml", "--format", "json")
    assert deciding.code == 1
    assert all(not check["advisory"] for check in deciding.json["checks"])
    assert deciding.json["statuses"]["passed"] == 0
    (anchors,) = deciding.json["run"]["judges"]["anchors"]
    assert sorted(anchors["agreed"].values()) == [False, True]

    rubric = (judged.folder / "shout.yaml").read_text()
    judged.write("shout.yaml", rubric.replace("what the reference says", "the same"))
    edited = judged.evalkit("run", "echo.yaml", "--format", "json")
    assert edited.code == 0, edited.out
    assert "calibrated before the rubric was edited" in edited.json["checks"][0]["advisory"]


# The numbers in the file are recomputed and checked.

LEVELS, VALUES = ("yes", "no"), (1.0, 0.0)
SAME = Rubric(
    name="same",
    path="same.yaml",
    criteria=(Criterion(name="same", question="Is it the same?"),),
    require_calibration=CalibrationRequirement(kappa=0.6, labels=20),
    digest="r1",
)


def entry(hits: int = 18, misses: int = 2, **changes: Any) -> Calibration:
    pairs = [("yes", "yes"), ("no", "no")] * (hits // 2) + [("yes", "no")] * misses
    people = {str(number): {"ann": "yes", "bob": "no"} for number in range(3)}
    made = Calibration(
        rubric="same",
        rubric_digest="r1",
        judge="lexical",
        judge_digest="j1",
        labels="l1",
        criteria=(
            CriterionCalibration(
                criterion="same",
                agreement=measure_agreement(pairs, LEVELS, VALUES),
                people=compare_raters(people, LEVELS, VALUES),
            ),
        ),
    )
    return replace(made, **changes)


def test_what_is_written_reads_back_and_does_not_depend_on_order(tmp_path: Path) -> None:
    path = find_calibration_path(tmp_path / "same.yaml")
    one, other = entry(), entry(judge="z", judge_digest="j2")
    assert format_calibrations([one, other]) == format_calibrations([other, one])
    path.write_text(format_calibrations([other, one]))
    found, problems = load_calibrations(path)
    assert not problems
    assert [each.judge_digest for each in found] == ["j1", "j2"]
    assert format_calibrations(found) == path.read_text()


def tampered(change: str) -> str:
    document = json.loads(format_calibrations([entry()]))
    criterion = document["calibrations"][0]["criteria"][0]
    agreement = criterion["agreement"]
    if change == "kappa":
        agreement["kappa"]["value"] = 0.95
        agreement["kappa"]["high"] = 0.97
    elif change == "no kappa":
        del agreement["kappa"]
    elif change == "counts":
        agreement["confusion"][0][0] = 500
    elif change == "negative":
        agreement["confusion"][0][1] = -2
    elif change == "interval":
        agreement["accuracy"]["low"] = 0.99
    elif change == "shape":
        agreement["confusion"].append([1, 2])
    elif change == "unknown key":
        criterion["trust_me"] = True
    elif change == "type":
        agreement["accuracy"]["value"] = "0.9"
    elif change == "twice":
        document["calibrations"] *= 2
    elif change == "people":
        criterion["people"][0]["agreement"]["ac1"]["value"] = 1.0
    elif change == "schema":
        document["schema"] = "evalkit.calibration/v9"
    return json.dumps(document)


@pytest.mark.parametrize(
    "change",
    [
        "kappa",
        "no kappa",
        "counts",
        "negative",
        "interval",
        "shape",
        "unknown key",
        "type",
        "twice",
        "people",
        "schema",
    ],
)
def test_a_calibration_that_was_tampered_with_is_refused(tmp_path: Path, change: str) -> None:
    path = tmp_path / "same.calibration.json"
    path.write_text(tampered(change))
    found, problems = load_calibrations(path)
    assert not found
    (problem,) = problems
    assert "the calibration file is invalid" in str(problem)


@pytest.mark.parametrize("content", ["", "[]", "{}", "null", "[" * 100_000, '{"schema": NaN}'])
def test_what_is_no_calibration_file_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "same.calibration.json"
    path.write_text(content)
    found, problems = load_calibrations(path)
    assert not found
    assert len(problems) == 1


def test_untouched_it_is_believed(tmp_path: Path) -> None:
    path = tmp_path / "same.calibration.json"
    path.write_text(tampered("nothing"))
    found, problems = load_calibrations(path)
    assert found
    assert not problems


@pytest.mark.parametrize(
    ("made", "judge", "why"),
    [
        (entry(), "j1", ""),
        (entry(), "j2", "has not been calibrated"),
        (entry(rubric_digest="r0"), "j1", "before the rubric was edited"),
        (entry(hits=12, misses=2), "j1", "has 14 of 20 required labeled answers"),
        (entry(hits=20, misses=20), "j1", "kappa of same is"),
        (entry(criteria=()), "j1", "leaves out a criterion"),
        (
            entry(
                criteria=(
                    CriterionCalibration(
                        criterion="same",
                        agreement=measure_agreement(
                            [("a", "a"), ("b", "b")] * 20, ("a", "b"), VALUES
                        ),
                    ),
                )
            ),
            "j1",
            "leaves out a criterion or a level",
        ),
    ],
)
def test_why_a_judge_may_not_fail_a_build(made: Calibration, judge: str, why: str) -> None:
    found = explain_advisory(SAME, judge, [made])
    assert (why in found) if why else not found


def test_a_rubric_that_requires_nothing_is_never_advisory() -> None:
    assert not explain_advisory(replace(SAME, require_calibration=None), "j1", [])


def test_a_kappa_that_cannot_be_told_meets_nothing() -> None:
    one_level = measure_agreement([("yes", "yes")] * 40, LEVELS, VALUES)
    made = entry(criteria=(CriterionCalibration(criterion="same", agreement=one_level),))
    assert "has no kappa" in find_unmet_requirement(made, 0.0, 1)


def test_what_a_judge_is_told_of_a_rubric_is_in_its_digest(tmp_path: Path) -> None:
    path = tmp_path / "r.yaml"
    digests = set()
    for description in ("One thing.", "Another."):
        path.write_text(f"description: {description}\npass_at: 1\ncriteria: [Is it right?]\n")
        rubric, problems = load_rubric(path)
        assert rubric, problems
        digests.add(rubric.digest)
    assert len(digests) == 2
