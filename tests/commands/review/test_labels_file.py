"""What is decided goes into the labels file, beside what is there, and is counted for what it is worth."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.commands.review.labels_file import LabelsFile, count_drawn, mark_drawn, merge_labels
from evalkit.commands.review.records import make_label
from evalkit.core.errors import InvalidInput
from evalkit.core.labels import HumanLabel
from evalkit.evalset.label_writer import format_labels_csv, format_labels_yaml
from evalkit.evalset.labels import load_labels
from tests.support.review_samples import make_answer, make_rubric

RUBRIC = make_rubric("clear", "kind")
ANSWERS = [make_answer(f"case-{number}", rubric=RUBRIC) for number in range(4)]
LABELS = st.lists(
    st.builds(
        lambda number, criterion, level, rater: make_label(
            ANSWERS[number], criterion, level, rater
        ),
        st.integers(0, 3),
        st.sampled_from(["clear", "kind"]),
        st.sampled_from(["good", "bad"]),
        st.sampled_from(["Ada", "Bo"]),
    ),
    unique_by=lambda label: (label.id, label.rater),
).map(tuple)


@given(there=LABELS, own=LABELS)
def test_entering_and_withdrawing_touches_no_other_label(
    there: tuple[HumanLabel, ...], own: tuple[HumanLabel, ...]
) -> None:
    ours = {(label.id, label.rater) for label in own}
    others = [label for label in there if (label.id, label.rater) not in ours]
    entered = merge_labels(there, (), own)
    assert set(entered) == {*others, *own}
    assert merge_labels(entered, own, own) == entered
    assert set(merge_labels(entered, own, ())) == set(others)


@pytest.mark.parametrize("name", ["labels.yaml", "labels.csv"])
def test_a_file_holds_what_was_entered_last_and_what_others_wrote_meanwhile(
    tmp_path: Path, name: str
) -> None:
    path = tmp_path / "made" / name
    ada, bo = LabelsFile(path, [RUBRIC]), LabelsFile(path, [RUBRIC])
    of_ada = [make_label(answer, "clear", "good", "Ada") for answer in ANSWERS]
    of_bo = [make_label(answer, "clear", "bad", "Bo") for answer in ANSWERS]
    ada.replace_own([])
    assert not path.exists()
    ada.replace_own(of_ada[:1])
    bo.replace_own(of_bo[:2])
    ada.replace_own(of_ada[:3])
    bo.replace_own(of_bo[:1])
    labels, problems = load_labels(path, [RUBRIC])
    assert not problems
    assert set(labels) == {*of_ada[:3], of_bo[0]}


def test_undoing_the_only_label_leaves_a_file_that_can_be_gone_on_with(tmp_path: Path) -> None:
    file = LabelsFile(tmp_path / "labels.yaml", [RUBRIC])
    file.replace_own([make_label(ANSWERS[0], "clear", "good", "Ada")])
    file.replace_own([])
    assert LabelsFile(file.path, [RUBRIC]).read() == ()


def test_a_broken_file_is_not_written_over(tmp_path: Path) -> None:
    path = tmp_path / "labels.yaml"
    path.write_text("labels:\n- {answer: a, level: great, criterion: clear}\n")
    with pytest.raises(InvalidInput, match=r"labels\.yaml:2: .*'great'"):
        LabelsFile(path, [RUBRIC]).replace_own([make_label(ANSWERS[0], "clear", "good", "Ada")])
    assert "great" in path.read_text()


def test_the_runs_an_answer_was_drawn_in_are_read_back_as_written(tmp_path: Path) -> None:
    label = make_label(ANSWERS[0], "clear", "good", "Ada")
    labels = (
        replace(label, drawn=("20261126-021119-shoes-5a2591", "no")),
        replace(label, rater="Bo"),
    )
    for name, text in (
        ("a.yaml", format_labels_yaml(labels)),
        ("a.csv", format_labels_csv(labels)),
    ):
        (tmp_path / name).write_bytes(text.encode())
        assert load_labels(tmp_path / name, [RUBRIC]) == (labels, [])


def test_only_answers_drawn_in_the_run_and_decided_whole_count() -> None:
    picked = [replace(answer, is_drawn=answer.case != "case-3") for answer in ANSWERS]

    def decided(number: int, rater: str, *criteria: str) -> list[HumanLabel]:
        return [make_label(ANSWERS[number], name, "good", rater) for name in criteria]

    labels = [
        *decided(0, "Ada", "clear", "kind"),
        *decided(1, "Ada", "clear"),
        *decided(1, "Bo", "kind"),
        *decided(2, "Ada", "clear"),
        *decided(2, "Bo", "clear"),
        *decided(3, "Ada", "clear", "kind"),
    ]
    assert count_drawn(ANSWERS, labels, {"run-1"}) == 0
    marked = mark_drawn(picked, labels, "run-1")
    assert count_drawn(ANSWERS, marked, {"run-1", "earlier"}) == 2
    assert count_drawn(ANSWERS, marked, {"run-2"}) == 0
    assert mark_drawn(picked, marked, "run-1") == marked
    assert {label.case for label in marked if label.drawn} == {"case-0", "case-1", "case-2"}
