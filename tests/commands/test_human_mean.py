"""The report estimates the mean people would give, where enough drawn answers are labeled."""

from __future__ import annotations

import pytest

from evalkit.commands.labeled_answers import score_from_labels
from evalkit.core.judgement import CriterionVerdict, Judgement
from evalkit.core.labels import HumanLabel
from evalkit.core.rubric import Criterion, CriterionCheck, Level, Rubric
from evalkit.core.trial import Score
from evalkit.evalset.label_writer import format_labels_yaml
from tests.conftest import Project

CASES = 60
RUBRIC = """
    rubric: exactly
    needs: [reference]
    pass_at: 1
    criteria:
      - {name: same, question: Does the answer say what the reference says?}
"""


@pytest.fixture
def labelled(project: Project) -> Project:
    """A run that the judge passes whole, as every answer repeats words of the reference."""
    project.write("exactly.yaml", RUBRIC)
    project.write("agent.py", "def answer(text):\n    return text\n")
    cases = "\n".join(f"- {{id: c{n}, input: word{n}, expected: word{n}}}" for n in range(CASES))
    project.write(
        "echo.yaml",
        "evalset: echo\nagent: {python: ./agent.py:answer}\njudge: lexical\n"
        "metrics: [rubric: exactly.yaml]\ngate: [{metric: exactly, min: 0.5}]\n"
        f"cases:\n{cases}\n",
    )
    return project


def label(number: int, level: str, **more: object) -> HumanLabel:
    return HumanLabel(
        rubric="exactly",
        criterion="same",
        level=level,
        answer=f"word{number}",
        input=f"word{number}",
        reference=f"word{number}",
        case=f"c{number}",
        **more,  # type: ignore[arg-type]
    )


def people_of(project: Project) -> tuple[object, list[str]]:
    report = project.evalkit("gate", "r1", "--format", "json").json
    (summary,) = [row for row in report["metrics"] if row["tag"] is None]
    assert summary["mean"] == 1.0
    return summary["people"], report["notes"]


def test_the_mean_people_would_give_stands_beside_the_judges(labelled: Project) -> None:
    assert labelled.evalkit("run", "echo.yaml", "--run-id", "r1").code == 0
    assert people_of(labelled)[0] is None
    # People fail every third of the forty answers that were drawn.
    said = [label(n, "no" if n % 3 == 0 else "yes", drawn=("r1",)) for n in range(40)]
    labelled.write("labels/echo.yaml", format_labels_yaml(said))
    people, _ = people_of(labelled)
    assert isinstance(people, dict)
    # The judge passes all answers, so its scores add no information: 26 of 40.
    assert people["mean"] == pytest.approx(26 / 40)
    assert people["share"] == 0.0
    assert people["cases"] == 40
    assert 0.5 < people["low"] < 0.65 < people["high"] < 0.8
    shown = labelled.evalkit("show", "r1", "-v")
    assert "people 65.0% (" in shown.out
    assert "40 labeled" in shown.out

    aside = [label(n, "yes", drawn=("r1",) if n < 20 else ("r0",)) for n in range(40)]
    labelled.write("labels/echo.yaml", format_labels_yaml(aside))
    people, notes = people_of(labelled)
    assert people is None
    assert any("of 40 cases, and 20 of them were drawn at random for this run" in n for n in notes)

    labelled.write("labels/echo.yaml", "labels:\n- {answer: x, level: maybe}\n")
    people, notes = people_of(labelled)
    assert people is None
    assert any("not used to estimate human means: " in note and "maybe" in note for note in notes)


GRADED = (
    Level(name="good", value=1.0),
    Level(name="fair", value=0.5),
    Level(name="bad", value=0.0),
)
MIXED = Rubric(
    name="mixed",
    path="",
    criteria=(
        Criterion(name="helps", question="?", levels=GRADED, weight=3.0),
        Criterion(name="kind", question="?", levels=GRADED),
        Criterion(name="short", check=CriterionCheck(ref="regex")),
    ),
)


def test_an_answer_scores_by_its_labels_as_by_a_judges_levels() -> None:
    said = [
        HumanLabel(criterion="helps", level="good", answer="x", rater="ann"),
        HumanLabel(criterion="helps", level="fair", answer="x", rater="bob"),
        HumanLabel(criterion="kind", level="bad", answer="x", rater="ann"),
    ]
    checked = CriterionVerdict(criterion="short", level="passed", value=1.0, by="check")
    score = Score(value=0.2, judgement=Judgement(verdicts=(checked,)))
    assert score_from_labels(MIXED, score, said) == pytest.approx((3 * 0.75 + 0 + 1) / 5)
    assert score_from_labels(MIXED, score, said[:2]) is None, "one criterion has no label"
    assert score_from_labels(MIXED, Score(value=0.2), said) is None, "the check is not known"
