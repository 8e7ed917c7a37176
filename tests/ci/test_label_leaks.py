"""Inputs and expected answers of a set are found where a change puts them, and nowhere else."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from evalkit.ci.changed_files import ChangedFiles
from evalkit.ci.label_index import LabelIndex
from evalkit.ci.label_leaks import MAX_FILE_BYTES, find_label_leaks, find_prompt_leaks
from evalkit.core.eval_set import AgentSpec, Case, EvalSet, Turn
from evalkit.core.literals import Json

QUESTION = "Can I return a birthday present that I opened by accident last week?"
ANSWER = "Yes. Opened gifts can be returned within thirty days if nothing is missing."


def case(name: str, text: str, expected: Json = None) -> Case:
    return Case(id=name, input=text, expected=expected)


CASES = [
    case("gift", QUESTION, ANSWER),
    case("capital", "What is the capital of France?", "Paris"),
    case("broken", "My parcel arrived broken", {"topic": "complaint", "urgent": True}),
    case("short", "cancel order", "yes"),
    case("numbers", "What is 2+2?", 4),
    case("chinese", "法国的首都是哪里?", "巴黎"),
    Case(
        id="turns",
        input=(
            Turn(role="user", content="Hello there"),
            Turn(role="user", content="Reset my old pin"),
        ),
        expected="pin",
    ),
]


def leaks(text: str, cases: list[Case] = CASES) -> list[tuple[str, str, int]]:
    return [(leak.case.id, leak.what, leak.line) for leak in LabelIndex(cases).find(text)]


@pytest.mark.parametrize(
    ("text", "name", "what"),
    [
        (QUESTION, "gift", "input"),
        (QUESTION.upper().replace(" ", "  -- "), "gift", "input"),
        (
            "# can i return a birthday present\n# that i opened by accident last week",
            "gift",
            "input",
        ),
        (QUESTION.replace("last week", "yesterday"), "gift", "input"),
        (f"FAQ: {ANSWER}", "gift", "expected answer"),
        (
            ANSWER.replace("returned", "\uff52eturned").replace("gifts", "gi\u200bfts"),
            "gift",
            "expected answer",
        ),
        (
            '{"q": "What is the capital of France?", "a": "Paris"}',
            "capital",
            "input and expected answer",
        ),
        (
            r'{"q": "What is\nthe capital of Fr\u0061nce", "a": "Paris"}',
            "capital",
            "input and expected answer",
        ),
        (
            "User: my parcel arrived BROKEN!\nLabel: complaint",
            "broken",
            "input and expected answer",
        ),
        (
            "Paris is the answer to: what is the capital of France",
            "capital",
            "input and expected answer",
        ),
        ("Q: what is 2 + 2? A: 4", "numbers", "input and expected answer"),
        ("问:法国的首都是哪里?答:巴黎。", "chinese", "input and expected answer"),
    ],
)
def test_a_label_is_found_in_any_dress(text: str, name: str, what: str) -> None:
    assert leaks(f"You help customers.\n\n{text}\n") == [(name, what, 3)]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Answer yes or no. Paris is a city, and 4 is a number.",
        "France: the capital is what it is.",
        "What is the capital of France?",  # a short question without its answer
        "Customers may cancel order forms: yes, always.",
        "Complaints about a parcel that arrived broken have the topic complaint.",
        "Presents that were opened by accident can be returned. Ask when they were bought.",
        f"What is the capital of France? {'Let me think about it. ' * 10} Paris",
        "pin pin pin",
    ],
)
def test_short_labels_and_common_words_are_no_leak(text: str) -> None:
    assert leaks(text) == []


def test_the_template_of_the_inputs_and_a_common_label_are_no_leak() -> None:
    template = "Sort this ticket into billing, shipping or other and answer in one word:"
    refusal = "I am sorry, but I can not help you with this request at all."
    cases = [case(f"c{n}", f"{template} word{n} item{n} thing{n}", refusal) for n in range(20)]
    assert leaks(f"{template}\n{refusal}", cases) == []
    text = f"{template} word7 item7 thing7 -> {refusal}"
    assert [name for name, _, _ in leaks(text, cases)] == ["c7"]


@pytest.fixture
def files(tmp_path: Path) -> ChangedFiles:
    (tmp_path / "top").mkdir()
    (tmp_path / "tree").mkdir()
    return ChangedFiles(top=tmp_path / "top", tree=tmp_path / "tree")


def review(
    files: ChangedFiles, now: Mapping[str, str | bytes], before: Mapping[str, str], *untracked: str
) -> list[tuple[str, bool]]:
    for folder, texts in ((files.top, now), (files.tree, before)):
        for name, text in texts.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(text if isinstance(text, bytes) else text.encode())
    changed = ChangedFiles(
        top=files.top,
        tree=files.tree,
        names=tuple(dict.fromkeys([*now, *before])),
        untracked=untracked,
    )
    found = find_label_leaks(CASES, changed, {"set.yaml"})
    return [(str(change.where).removeprefix(f"{files.top}/"), change.loosened) for change in found]


def test_only_what_is_new_in_a_file_is_a_leak(files: ChangedFiles) -> None:
    old = f"Title\n{ANSWER}\n"
    assert review(files, {"kb.md": f"{old}More.\n"}, {"kb.md": old}) == []
    now = {"kb.md": f"{old}{QUESTION}", "new.md": f"a\nb\n{QUESTION}"}
    assert review(files, now, {"kb.md": old}) == [("kb.md:3", True), ("new.md:3", True)]


def test_a_text_that_moved_is_no_leak(files: ChangedFiles) -> None:
    assert review(files, {"b.md": ANSWER}, {"a.md": ANSWER}) == []


def test_an_answer_beside_a_known_question_is_new(files: ChangedFiles) -> None:
    now = f"Ask:\n{QUESTION}\n{ANSWER}"
    assert review(files, {"kb.md": now}, {"kb.md": f"Ask:\n{QUESTION}"}) == [("kb.md:2", True)]


def test_labels_that_leave_a_test_for_a_prompt_are_a_leak(files: ChangedFiles) -> None:
    found = review(files, {"prompt.md": ANSWER}, {"tests/test_it.py": ANSWER})
    assert found == [("prompt.md:1", True)]


def test_a_text_that_left_one_file_for_another_is_no_leak(files: ChangedFiles) -> None:
    assert review(files, {"a.md": "gone", "b.md": ANSWER}, {"a.md": ANSWER}) == []


def test_what_is_not_read_and_what_is_only_listed(files: ChangedFiles) -> None:
    found = review(
        files,
        {
            "set.yaml": ANSWER,
            "binary.bin": bytes(range(256)) * 4 + ANSWER.encode(),
            "no_mark.txt": ANSWER.encode("utf-16-le"),
            "zero.bin": b"\0" + ANSWER.encode(),
            "tests/test_agent.py": ANSWER,
            "report.html": f"<meta name=generator content=evalkit>{ANSWER}",
            "huge.txt": " " * (MAX_FILE_BYTES + 1),
            "utf16.txt": ANSWER.encode("utf-16"),
        },
        {},
        "report.html",
    )
    assert sorted(found) == [
        ("", False),
        ("no_mark.txt:1", True),
        ("tests/test_agent.py:1", False),
        ("utf16.txt:1", True),
        ("zero.bin:1", True),
    ]


def test_the_arguments_of_the_agent_are_searched_as_a_prompt_in_a_file_is() -> None:
    before, same, now = (
        EvalSet(
            name="s",
            path="s.yaml",
            cases=tuple(CASES),
            agent=AgentSpec(kind="openai", args={"model": model, "system": text}),
        )
        for model, text in (
            ("m1", f"Be kind.\n{ANSWER}"),
            ("m2", f"{ANSWER}\nBe kind."),
            ("m1", f"Be kind.\n{ANSWER}\nUser: my parcel arrived broken. Label: complaint"),
        )
    )
    assert find_prompt_leaks(before, same) == ()
    [change] = find_prompt_leaks(before, now)
    assert (change.case_ids, change.loosened) == (("broken",), True)
