"""Labels files: read strictly, checked against rubrics, written so that they read back the same."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit.core.labels import HumanLabel, filter_labels
from evalkit.core.rubric import Criterion, CriterionCheck, Level, Rubric
from evalkit.core.safe_text import escape_csv_formula, unescape_csv_formula
from evalkit.evalset.label_writer import format_labels_csv, format_labels_yaml
from evalkit.evalset.labels import load_labels

LEVELS = (
    Level(name="good", value=1.0),
    Level(name="fair", value=0.5),
    Level(name="bad", value=0.0),
)
HELPFUL = Rubric(
    name="helpful",
    path="helpful.yaml",
    criteria=(
        Criterion(name="helps", question="Does it help?", levels=LEVELS),
        Criterion(name="short", check=CriterionCheck(ref="max_words")),
    ),
)
TONE = Rubric(
    name="tone",
    path="tone.yaml",
    criteria=(
        Criterion(name="polite", question="Is it polite?"),
        Criterion(name="calm", question="Is it calm?"),
    ),
)


def problems_of(path: Path, *rubrics: Rubric) -> list[str]:
    labels, problems = load_labels(path, rubrics)
    assert problems or labels
    return [str(problem).replace(str(path), path.name) for problem in problems]


def write(folder: Path, content: str, name: str = "labels.yaml") -> Path:
    path = folder / name
    path.write_text(content)
    return path


def test_a_label_needs_to_say_only_what_leaves_a_choice(tmp_path: Path) -> None:
    path = write(tmp_path, "labels:\n- {answer: Hello, level: fair}\n- {answer: 12, level: bad}\n")
    labels, problems = load_labels(path, [HELPFUL])
    assert not problems
    assert labels == (
        HumanLabel(rubric="helpful", criterion="helps", level="fair", answer="Hello"),
        HumanLabel(rubric="helpful", criterion="helps", level="bad", answer="12"),
    )


def test_a_criterion_tells_its_rubric_among_several(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "labels:\n- {answer: x, criterion: calm, level: yes}\n- {answer: y, criterion: helps, level: bad}\n",
    )
    labels, problems = load_labels(path, [HELPFUL, TONE])
    assert not problems
    assert [label.rubric for label in labels] == ["tone", "helpful"]
    assert filter_labels(labels, "tone") == labels[:1]


def test_labels_of_other_rubrics_are_kept_unchecked(tmp_path: Path) -> None:
    path = write(tmp_path, "labels:\n- {rubric: other, answer: x, criterion: a, level: b}\n")
    labels, problems = load_labels(path, [HELPFUL])
    assert not problems
    assert labels[0].rubric == "other"
    assert not filter_labels(labels, "helpful")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{answer: x}", "level is missing. Add `level:`."),
        ("{level: bad}", "answer is missing. Add `answer:`."),
        ("{answer: x, level: god}", "criterion 'helps' has no level 'god'; did you mean 'good'?"),
        (
            "{answer: x, level: yes}",
            "criterion 'helps' has no level 'yes'. Levels: good, fair, bad.",
        ),
        (
            "{answer: x, level: bad, criterion: short}",
            "rubric 'helpful' has no judged criterion 'short'. Judged: helps.",
        ),
        (
            "{answer: x, level: bad, rubric: helpfull}",
            "no rubric 'helpfull'; did you mean 'helpful'?",
        ),
        ("{answer: x, level: bad, ratter: ann}", "unknown key 'ratter'; did you mean 'rater'?"),
        ("{answer: [x], level: bad}", "answer must be text, not a list."),
    ],
)
def test_what_is_wrong_with_a_label_is_told_with_its_line(
    tmp_path: Path, content: str, message: str
) -> None:
    path = write(tmp_path, f"labels:\n- {{answer: fine, level: good}}\n- {content}\n")
    (problem,) = problems_of(path, HELPFUL)
    assert problem == f"labels.yaml:3: label: {message}"


def test_one_person_labels_an_answer_once(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "labels:\n- {answer: x, level: bad}\n- {answer: x, level: good, rater: ann}\n"
        "- {answer: x, level: good}\n",
    )
    (problem,) = problems_of(path, HELPFUL)
    assert problem == (
        "labels.yaml:4: a second label of this answer; the first is in line 2. Keep one, or give each "
        "person a `rater:`."
    )


def test_all_problems_of_a_table_come_at_once(tmp_path: Path) -> None:
    path = write(tmp_path, "answer,level\nx,god\ny\n\nz,good\n,bad\nw,fine\n", "labels.csv")
    assert problems_of(path, HELPFUL) == [
        "labels.csv:2: label: criterion 'helps' has no level 'god'; did you mean 'good'?",
        "labels.csv:3: 1 cells, but the first line has 2. Quote commas.",
        "labels.csv:7: label: criterion 'helps' has no level 'fine'. Levels: good, fair, bad.",
    ]
    path = write(tmp_path, "anwser,level,level\n", "labels.csv")
    assert problems_of(path, HELPFUL) == [
        "labels.csv:1: unknown column 'anwser'; did you mean 'answer'?",
        "labels.csv:1: column 'level' appears 2 times. Keep one.",
    ]


@pytest.mark.parametrize("content", ["", "labels:\n", "labels: []\n"])
def test_a_file_without_labels_is_refused(tmp_path: Path, content: str) -> None:
    path = write(tmp_path, content)
    assert problems_of(path, HELPFUL) == ["labels.yaml: the file contains no label. Add `labels:`."]


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    assert problems_of(tmp_path / "none.yaml", HELPFUL) == [
        "none.yaml: the labels file does not exist."
    ]


def test_a_written_file_is_one_readable_block_a_label() -> None:
    labels = (
        HumanLabel(
            rubric="helpful",
            criterion="helps",
            level="bad",
            answer="Dear customer,\n\n  no.\nYours",
            input="May I return shoes?",
            rater="ann",
            note='says "no"',
        ),
        HumanLabel(rubric="helpful", criterion="helps", level="good", answer="Yes."),
    )
    assert format_labels_yaml(labels) == (
        "# People's labels of answers. `evalkit calibrate` compares judges with them.\n"
        "labels:\n"
        "- rubric: helpful\n  answer: Yes.\n  criterion: helps\n  level: good\n"
        "\n"
        "- rubric: helpful\n"
        '  input: "May I return shoes?"\n'
        "  answer: |-\n    Dear customer,\n\n      no.\n    Yours\n"
        "  criterion: helps\n  level: bad\n  rater: ann\n"
        '  note: "says \\"no\\""\n'
    )
    assert format_labels_yaml(labels) == format_labels_yaml(reversed(labels))


HARD = st.text(st.characters(exclude_categories=["Cs"]), max_size=12) | st.lists(
    st.sampled_from(
        [
            "=1+1",
            "'",
            "-",
            "\n",
            "\r",
            "\t",
            " ",
            "#",
            ": ",
            "|",
            "~",
            "null",
            "a",
            '"',
            "\x85",
            "\0",
        ]
    ),
    max_size=8,
).map("".join)


@settings(max_examples=150, deadline=None)
@given(answer=HARD, note=HARD, context=HARD)
def test_what_is_written_reads_back_the_same(
    tmp_path_factory: pytest.TempPathFactory, answer: str, note: str, context: str
) -> None:
    folder = tmp_path_factory.mktemp("labels")
    label = HumanLabel(
        rubric="helpful",
        criterion="helps",
        level="fair",
        answer=answer,
        note=note,
        context=context,
        case="c-1",
    )
    for name, text in (
        ("a.yaml", format_labels_yaml([label])),
        ("a.csv", format_labels_csv([label])),
    ):
        (folder / name).write_bytes(text.encode())
        labels, problems = load_labels(folder / name, [HELPFUL])
        assert not problems
        assert labels == (label,)


@given(HARD)
def test_no_written_cell_is_a_formula(text: str) -> None:
    assert escape_csv_formula(text)[:1] not in ("=", "+", "-", "@", "\t", "\r", "\n")
    assert unescape_csv_formula(escape_csv_formula(text)) == text


def test_half_a_character_does_not_keep_labels_from_being_written() -> None:
    label = HumanLabel(criterion="helps", level="bad", answer="a\ud800b")
    assert "\ufffd" in format_labels_yaml([label])
    assert "\ufffd" in format_labels_csv([label])
