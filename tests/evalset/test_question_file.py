"""A table with any column names becomes cases, and no row is lost without a word."""

from __future__ import annotations

import json
from typing import Any

import pytest

from evalkit.core.errors import InvalidInput
from evalkit.evalset.question_file import QuestionTable, parse_mapping, read_question_file


def read(text: str, name: str = "q.csv", *mapping: str) -> QuestionTable:
    return read_question_file(text.encode(), name, parse_mapping(mapping))


def problems(text: str, name: str = "q.csv", *mapping: str) -> list[str]:
    with pytest.raises(InvalidInput) as caught:
        read(text, name, *mapping)
    return [str(problem) for problem in caught.value.problems]


@pytest.mark.parametrize(
    ("header", "columns"),
    [
        ("Question,Answer", {"input": "Question", "expected": "Answer"}),
        ("Expected Output,user_query", {"input": "user_query", "expected": "Expected Output"}),
        ("prompt,Ground-Truth,Category", {"input": "prompt", "expected": "Ground-Truth", "tags": "Category"}),
        ("text,label", {"input": "text", "expected": "label"}),
        ("Customer message,Correct answer (approved),Question ID", {"input": "Customer message", "expected": "Correct answer (approved)", "id": "Question ID"}),
        ("text,question,a", {"input": "question", "expected": "a"}),
        ("Nr,Frage,Antwort", {"id": "Nr", "input": "Frage", "expected": "Antwort"}),
        ("Réponse,Question", {"input": "Question", "expected": "Réponse"}),
    ],
)  # fmt: skip
def test_column_names_are_understood(header: str, columns: dict[str, str]) -> None:
    found = read(f"{header}\n{','.join('xyz'[: header.count(',') + 1])}\n")
    assert found.columns == columns


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_separator_of_any_spreadsheet_is_found(delimiter: str) -> None:
    row = delimiter.join(("question", "answer", "", ""))
    cells = delimiter.join(('"a, b; c"', "d", "", ""))
    found = read(f"\ufeff{row}\r\n{cells}\r\n")
    assert [dict(case) for case in found.cases] == [{"id": "a-b-c", "input": "a, b; c", "expected": "d"}]  # fmt: skip


def test_every_row_is_a_case_or_is_named() -> None:
    found = read(
        'question,answer\nWhat?,a\n,b\nWhy?,\n"two\nlines",c\n,\nx,y,z\n\nWhat?,a\nすしは?,d\n'
    )
    assert [str(problem) for problem in found.left_out] == [
        "q.csv:3: 'question' is empty.",
        "q.csv:4: 'answer' is empty.",
        "q.csv:7: the row is empty.",
        "q.csv:8: the row has 3 cells, but the first line has 2. Put cells with the separator in quotes.",
    ]
    ids = [case["id"] for case in found.cases]
    assert ids[:2] == ["what", "two-lines"]
    assert ids[2].startswith("what-")
    assert ids[3].startswith("case-")


def test_an_id_is_the_same_when_rows_move() -> None:
    rows = ["How much is shipping?,a", "How much is it to ship a thing of this size to you?,b"]
    ids = [
        {case["input"]: case["id"] for case in read("\n".join(["question,answer", *each])).cases}
        for each in (rows, rows[::-1])
    ]
    assert ids[0] == ids[1]
    assert all(len(str(each)) <= 40 for each in ids[0].values())


def test_a_column_of_ids_is_used_if_its_values_are_unique() -> None:
    assert [c["id"] for c in read("id,question\nA1,x\nA2,y\n").cases] == ["A1", "A2"]
    assert [c["id"] for c in read("id,question\n1,x\n1,y\n").cases] == ["x", "y"]
    named = read("id,question\n1,x\n1,y\n", "q.csv", "id=id")
    assert [str(each) for each in named.left_out] == ["q.csv:3: the id '1' is that of line 2."]


def test_columns_can_be_named() -> None:
    text = 'Frage,"Antwort, kurz",Art,Sprache\nWo?,hier,"x, y",de\n'
    found = read(text, "q.csv", "input=Frage,expected=Antwort, kurz", "tags=Art,metadata.lang=Sprache")  # fmt: skip
    written, suffix = found.write()
    assert suffix == ".csv"
    assert written.splitlines() == ["id,input,expected,tags,metadata.lang", "wo,Wo?,hier,x;y,de"]


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        ("input=Question", "did you mean 'question'? Columns: question, answer."),
        ("inptu=question", "unknown field 'inptu'; did you mean 'input'?"),
        ("question", "write FIELD=COLUMN"),
        ("input=question,input=answer", "two columns for input"),
    ],
)
def test_a_wrong_name_is_answered(mapping: str, message: str) -> None:
    [problem] = problems("question,answer\na,b\n", "q.csv", mapping)
    assert message in problem


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("q.csv", "foo,bar\na,b\n", "q.csv:1: no column looks like the question. Columns: foo, bar."),
        ("q.csv", "", "q.csv: the file has no rows."),
        ("q.csv", "question,answer\n", "q.csv: the file has no rows."),
        ("q.csv", "question,answer\n,b\n", "q.csv:2: 'question' is empty."),
        ("q.csv", "question,question\na,b\n", "q.csv:1: column 'question' appears 2 times."),
        ("q.csv", 'question,answer\n"a,b\n', "q.csv:2: not valid CSV"),
        ("q.xlsx", "", "unknown kind of file. Known extensions: .csv"),
        ("q.json", "[1", "q.json"),
    ],
)  # fmt: skip
def test_a_file_without_cases_is_refused(name: str, text: str, message: str) -> None:
    assert message in problems(text, name)[0]


def test_objects_keep_what_a_spreadsheet_cannot_hold() -> None:
    rows: list[dict[str, Any]] = [
        {"data": {"question": "one"}, "answer": ["a", "b"], "n": None},
        {"data": {"question": [{"role": "user", "content": "two"}]}, "answer": "['a'"},
    ]
    lines = [*map(json.dumps, rows), "{broken", "[1]"]
    found = read("\n".join(lines), "q.jsonl", "input=data.question")
    assert [str(each)[:10] for each in found.left_out] == ["q.jsonl:3:", "q.jsonl:4:"]
    text, suffix = found.write()
    assert suffix == ".jsonl"
    assert [json.loads(line)["expected"] for line in text.splitlines()] == [["a", "b"], "['a'"]
    assert [json.loads(line)["id"] for line in text.splitlines()] == ["one", "two"]
    assert len(read(json.dumps(rows), "q.json", "input=data.question").cases) == 2
