"""Rubric files are read strictly, all problems at once; what they say reaches the judge and the score."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from evalkit.core.rubric import Criterion, CriterionCheck, Level, Rubric
from evalkit.core.run import RunEnvironment
from evalkit.evalset.rubrics import load_rubric
from evalkit.judge.controls import list_controls
from evalkit.judge.judge import JudgeRequest, key_criteria
from evalkit.judge.prompt import build_messages
from evalkit.metrics.specs import check_rubric
from evalkit.traffic.rubric_files import RUBRICS, rubric_path
from tests.support.paths import ROOT, TESTS

EXAMPLES = TESTS / "examples" / "rubrics"
SHIPPED = ROOT / "rubrics"
NAMES = {
    "correctness",
    "coverage",
    "due_refusal",
    "groundedness",
    "helpfulness",
    "refusal",
    "task_resolution",
    "tone",
    "toxicity",
}


def listed(folder: Path) -> list[Path]:
    return [path.relative_to(EXAMPLES) for path in sorted(folder.glob("*.yaml"))]


def check(path: Path) -> tuple[Rubric | None, list[str]]:
    here = RunEnvironment(root=EXAMPLES, set_folder=EXAMPLES, environ={})
    rubric, problems = check_rubric(path, here)
    return rubric, [str(problem) for problem in problems]


@pytest.fixture
def load(tmp_path: Path) -> Callable[[str], Rubric]:
    def load_text(text: str) -> Rubric:
        path = tmp_path / "made.yaml"
        path.write_text(text)
        rubric, problems = load_rubric(path)
        assert rubric is not None, problems
        return rubric

    return load_text


# The examples


@pytest.mark.parametrize("path", listed(EXAMPLES / "valid"), ids=str)
def test_a_valid_example_loads(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(EXAMPLES)
    rubric, problems = check(path)
    assert rubric is not None
    assert not problems


def test_there_are_many_ways_to_be_wrong() -> None:
    assert len(listed(EXAMPLES / "invalid")) >= 40


@pytest.mark.parametrize("path", listed(EXAMPLES / "invalid"), ids=str)
def test_an_invalid_example_is_refused_for_just_the_reason_it_states(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(EXAMPLES)
    ((line, words),) = re.findall(r"^# expect: (\d+): (.+)$", path.read_text(), re.MULTILINE)
    rubric, problems = check(path)
    assert rubric is None
    assert len(problems) == 1, problems
    assert problems[0].startswith(f"{path}:{line}:")
    assert words in problems[0]


def test_all_problems_are_told_at_once(tmp_path: Path) -> None:
    path = tmp_path / "r.yaml"
    path.write_text(
        "pass_at: 70\nneeds: [refrence]\ncriteria:\n  - {question: Is it?, weight: -1}\n  - {check: [a]}\n"
    )
    _, problems = check(path)
    assert {int(re.findall(r"r\.yaml:(\d+)", problem)[0]) for problem in problems} == {1, 2, 4, 5}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "does not exist"),
        (b"", "the rubric is empty"),
        (b"# nothing\n", "the rubric is empty"),
        ("pass_at: 1".encode("utf-16"), "is UTF-16"),
        (b"description: caf\xe9\n", "is not UTF-8"),
        (b"a: &a [1]\n", "anchor"),
        (b"[" * 10_000, "nest"),
    ],
)
def test_a_file_that_is_no_rubric_is_one_problem_and_never_a_traceback(
    tmp_path: Path, content: bytes | None, words: str
) -> None:
    path = tmp_path / "r.yaml"
    if content is not None:
        path.write_bytes(content)
    rubric, problems = load_rubric(path)
    assert rubric is None
    assert words in str(problems[0])


def test_every_prefix_of_a_rubric_is_read_or_refused(tmp_path: Path) -> None:
    whole = (SHIPPED / "tone.yaml").read_bytes()
    path = tmp_path / "cut.yaml"
    for end in range(0, len(whole), 61):
        path.write_bytes(whole[:end])
        rubric, problems = load_rubric(path)
        assert (rubric is None) == bool(problems), end


# What is read


def test_every_part_of_a_rubric_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(EXAMPLES)
    rubric, _ = load_rubric(Path("valid/full.yaml"))
    assert rubric
    assert (rubric.name, rubric.path, rubric.pass_at) == ("everything", "valid/full.yaml", 0.6)
    assert rubric.needs == ("reference", "context")
    short, correct, promise, empty = rubric.criteria
    assert short == Criterion(name="criterion_1", question="Is it short?")
    assert [(level.name, level.value) for level in correct.levels] == [
        ("yes", 1.0),
        ("partly", 0.5),
        ("no", 0.0),
    ]
    assert (correct.otherwise, correct.weight) == ("no", 2.5)
    assert [(each.answer, each.level, each.context) for each in correct.examples] == [
        ("Yes.", "yes", "It is so."),
        ("", "no", ""),
    ]
    assert promise.check == CriterionCheck(ref="not_contains", args={"": ["promise"]}, line=22)
    assert (promise.weight, empty.weight) == (0.0, 1.0)
    assert [(each.name, each.passes) for each in rubric.controls] == [
        ("the same", True),
        ("bad-1", False),
    ]
    assert rubric.require_calibration
    assert (rubric.require_calibration.kappa, rubric.require_calibration.labels) == (0.6, 60)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("pass_at: 1", "pass_at: 0.5"),
        ("Is it good?", "Is it fine?"),
        ("Of an answer.", "Of answers."),
        ("value: 0.5", "value: 0.4"),
        ("otherwise: bad", "otherwise: good"),
        ("explanation: short", "explanation: curt"),
        ("contains: [a]", "contains: [b]"),
        ("higher_is_better: true", "higher_is_better: false\npass_at: 0.5 #"),
    ],
)
def test_whatever_changes_verdicts_or_scores_changes_the_digest(
    load: Callable[[str], Rubric], before: str, after: str
) -> None:
    text = (
        "description: Of an answer.\nhigher_is_better: true\npass_at: 1\ncriteria:\n"
        "  - question: Is it good?\n    otherwise: bad\n"
        "    levels: [{name: good, value: 1}, {name: so, value: 0.5}, {name: bad, value: 0}]\n"
        "    examples: [{answer: Yes., level: good, explanation: short}]\n"
        "  - {name: a, check: {contains: [a]}}\n"
    )
    assert before in text
    edited = text.replace(before, after)
    if "#" in after:
        edited = edited.replace("\npass_at: 1\n", "\n")
    assert load(edited).digest != load(text).digest


def test_moving_lines_and_checking_the_judge_otherwise_changes_no_digest(
    load: Callable[[str], Rubric],
) -> None:
    text = "pass_at: 1\ncriteria:\n  - Is it good?\n  - {name: a, check: {contains: [a]}}\n"
    controls = "controls: {good: [{answer: Yes.}], bad: [{answer: No.}]}\n"
    assert load("# moved\n\n" + controls + text).digest == load(text).digest


@pytest.mark.parametrize(
    ("values", "weights", "lowest", "highest"),
    [(((0, 1),), (1,), 0, 1), (((0.2, 0.8), (0, 1)), (1, 3), 0.05, 0.95), ((), (), 0, 1)],
)
def test_a_rubric_knows_how_far_its_scores_reach(
    values: tuple[tuple[float, float], ...],
    weights: tuple[float, ...],
    lowest: float,
    highest: float,
) -> None:
    criteria = tuple(
        Criterion(
            name=str(pair),
            weight=weight,
            levels=(Level(name="a", value=pair[0]), Level(name="b", value=pair[1])),
        )
        for pair, weight in zip(values, weights, strict=True)
    )
    reach = Rubric(name="r", path="", criteria=criteria).score_range
    assert reach == pytest.approx((lowest, highest))


# What a judge is asked


def test_a_judge_reads_what_an_answer_without_a_sign_gets() -> None:
    criterion = Criterion(name="tone", question="Is it rude?", otherwise="no")
    system = build_messages(JudgeRequest(criteria=(criterion,), answer="a"), "n")[0].content
    assert "Where nothing in the answer speaks for another level, it is no." in system


@pytest.mark.parametrize("names", [("criterion_2", "é"), ("a", "a b"), ("criterion_1", "x y")])
def test_every_criterion_has_a_key_of_its_own_in_a_reply(names: tuple[str, str]) -> None:
    criteria = tuple(Criterion(name=name, question="Is it?") for name in names)
    keyed = key_criteria(JudgeRequest(criteria=criteria, answer="a"))
    assert tuple(keyed.values()) == criteria


@pytest.mark.parametrize(
    "edit",
    [
        "otherwise: no",
        "examples: [{answer: Yes., level: yes, explanation: because}]",
        "levels: [{name: yes, value: 1, description: all}, {name: no, value: 0}]",
    ],
)
def test_whatever_a_judge_reads_is_in_the_key_of_its_verdict(
    load: Callable[[str], Rubric], edit: str
) -> None:
    text = "pass_at: 1\ncriteria:\n  - question: Is it good?\n"
    plain, edited = load(text), load(f"{text}    {edit}\n")
    asked = [JudgeRequest(criteria=each.criteria, answer="a").digest for each in (plain, edited)]
    assert asked[0] != asked[1]


# The shipped rubrics


@pytest.mark.parametrize("name", sorted(NAMES))
def test_a_shipped_rubric_describes_labels_and_controls_everything(name: str) -> None:
    rubric, problems = check(SHIPPED / f"{name}.yaml")
    assert not problems
    assert rubric
    assert rubric.name == name
    assert rubric.description
    for criterion in rubric.judged_criteria:
        assert criterion.question.endswith("?"), criterion.name
        assert all(level.description for level in criterion.levels), criterion.name
        assert len({example.level for example in criterion.examples}) >= 1, criterion.name
    asked = list_controls(rubric)
    assert {known.control.passes for known in asked} == {True, False}
    examples = {each.answer for criterion in rubric.criteria for each in criterion.examples}
    new_to_the_judge = [c for c in rubric.controls if c.answer not in examples]
    assert {control.passes for control in new_to_the_judge} == {True, False}


def test_every_rubric_that_ships_is_known_here() -> None:
    assert {path.stem for path in SHIPPED.glob("*.yaml")} == NAMES


def test_some_shipped_rubric_has_a_check_some_weights_and_one_counts_what_is_bad() -> None:
    rubrics = [check(SHIPPED / f"{name}.yaml")[0] for name in sorted(NAMES)]
    known = [rubric for rubric in rubrics if rubric]
    assert any(each.check for rubric in known for each in rubric.criteria)
    assert any(each.weight != 1 for rubric in known for each in rubric.criteria)
    assert [rubric.name for rubric in known if not rubric.higher_is_better] == ["toxicity"]


@pytest.mark.parametrize("name", RUBRICS)
def test_the_package_has_the_rubrics_that_need_no_reference(name: str) -> None:
    text = (SHIPPED / f"{name}.yaml").read_text()
    assert (
        rubric_path(name).read_text() == text.partition("\n")[2]
    )  # without the path of the schema
    rubric, _ = check(SHIPPED / f"{name}.yaml")
    assert rubric
    assert "reference" not in rubric.needs
