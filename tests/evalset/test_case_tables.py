"""Cases from CSV, TSV, JSON, and Parquet files are those of the same content in YAML, or problems."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import random
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evalkit.cli.app import main
from evalkit.core.eval_set import Case, EvalSet, Turn
from evalkit.core.location import Problem
from evalkit.evalset import parquet_table
from evalkit.evalset.case_files import read_csv_cases, read_json_cases
from evalkit.evalset.cases import read_case
from evalkit.evalset.loader import load_evalset
from tests.conftest import Project

ROWS: list[dict[str, Any]] = [
    {
        "id": "list",
        "input": "Where do you ship?",
        "expected": ["Bern", "Basel"],
        "tags": ["a", "b"],
        "metadata": {"user": {"name": "Ann", "roles": ["x"]}},
        "metrics": [{"contains": {"all": True}}, "not_contains"],
        "criteria": ["Is it short?", {"name": "polite", "question": "Is it polite?"}],
    },
    {
        "id": "12",
        "input": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}],
        "expected": {"city": "Bern", "zip": [3000]},
        "cluster": "c",
    },
    {"id": "text", "input": "[1, 2, 3] sorted?", "expected": "[see note]"},
]


def table(rows: Sequence[Sequence[str]], delimiter: str = ",") -> str:
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=delimiter).writerows(rows)
    return text.getvalue()


def as_cells(rows: list[dict[str, Any]]) -> list[list[str]]:
    """Rows in which every list and mapping is JSON in a cell."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    values = [[row.get(name, "") for name in names] for row in rows]
    return [
        names,
        *([v if isinstance(v, str) else json.dumps(v) for v in line] for line in values),
    ]


def parquet(path: Path, select: str) -> bytes:
    with duckdb.connect() as connection:
        connection.execute(f"copy ({select}) to '{path}' (format parquet)")
    return path.read_bytes()


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., EvalSet]:
    """Write a case file and read the set that names it; there may be `problems`."""
    monkeypatch.chdir(tmp_path)

    def load_file(name: str, content: str | bytes, problems: list[str] | None = None) -> EvalSet:
        Path(name).write_bytes(content if isinstance(content, bytes) else content.encode())
        Path("set.yaml").write_text(f"cases: {name}\n")
        evalset, found = load_evalset(Path("set.yaml"), root=tmp_path)
        if problems is None:
            assert not found
        else:
            problems += map(str, found)
        return evalset

    return load_file


def test_the_same_cases_are_read_from_files_of_every_kind(
    load: Callable[..., EvalSet], tmp_path: Path
) -> None:
    select = """
        select * replace (
            case id when 'list' then to_json(['Bern', 'Basel'])
                    when '12' then to_json({'city': 'Bern', 'zip': [3000]})
                    else to_json('[see note]') end as expected)
        from (values
            ('list', 'Where do you ship?', NULL, ['a', 'b'],
             {'user': {'name': 'Ann', 'roles': ['x']}},
             '[{"contains": {"all": true}}, "not_contains"]',
             '["Is it short?", {"name": "polite", "question": "Is it polite?"}]', NULL),
            ('12', '[{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]',
             NULL, NULL, NULL, NULL, NULL, 'c'),
            ('text', '[1, 2, 3] sorted?', NULL, NULL, NULL, NULL, '', NULL)
        ) as t(id, input, expected, tags, metadata, metrics, criteria, cluster)
    """
    files: dict[str, str | bytes] = {
        "a.yaml": json.dumps(ROWS),
        "a.json": json.dumps(ROWS, indent=2),
        "b.json": f' {{"cases" : {json.dumps(ROWS)}\n}}\n',
        "a.jsonl": "\n".join(map(json.dumps, ROWS)),
        "a.csv": table(as_cells(ROWS)),
        "a.tsv": "\ufeff" + table(as_cells(ROWS), "\t"),
        "a.parquet": parquet(tmp_path / "a.parquet", select),
    }
    sets = {name: load(name, content) for name, content in files.items()}
    assert len({evalset.digest for evalset in sets.values()}) == 1
    first, talk, text = sets["a.tsv"].cases
    assert [spec.name for spec in first.metrics] == ["contains", "not_contains", "criteria"]
    assert talk.input == (Turn(role="system", content="Be brief."), Turn(role="user", content="Hi"))
    assert text.input == "[1, 2, 3] sorted?"
    lines = {name: [case.where.line for case in evalset.cases] for name, evalset in sets.items()}
    assert lines["a.csv"] == lines["a.tsv"] == [2, 3, 4]
    assert lines["a.parquet"] == lines["a.jsonl"] == [1, 2, 3]
    written = json.dumps(ROWS, indent=2).splitlines()
    assert lines["a.json"] == [n for n, line in enumerate(written, 1) if line == "  {"]


def test_columns_build_mappings_and_short_cells_build_lists(load: Callable[..., EvalSet]) -> None:
    rows = [
        ["id", "input", "expected.city", "expected.at.zip", "metadata.user.age", "tags", "metrics"],
        ["a", "x", "Bern", '["007", 7]', "41", "x, y ;z", "contains; latency_s"],
        ["b", "x", "", "3000", "", "x", '{"contains": {"any": ["q"]}}'],
        ["c", "x", "", "", "", '["a,b"]', ""],
    ]
    a, b, c = load("a.csv", table(rows)).cases
    assert a.expected == {"city": "Bern", "at": {"zip": ["007", 7]}}
    assert (a.metadata, a.tags) == ({"user": {"age": "41"}}, ("x", "y", "z"))
    assert [spec.ref for spec in a.metrics] == ["contains", "latency_s"]
    assert b.expected == {"at": {"zip": "3000"}}
    assert [(spec.ref, spec.args) for spec in b.metrics] == [("contains", {"any": ["q"]})]
    assert (c.expected, c.tags, c.metadata) == (None, ("a,b",), {})
    criteria = [["id", "input", "criteria"], ["a", "x", "Is it short, yes?\nIs it polite; yes?"]]
    (asked,) = load("b.csv", table(criteria)).cases
    questions = [each["question"] for each in asked.metrics[0].args["criteria"]]
    assert questions == ["Is it short, yes?", "Is it polite; yes?"]


def test_a_header_with_two_columns_for_one_value_is_refused(load: Callable[..., EvalSet]) -> None:
    problems: list[str] = []
    header = "id,input,expected,expected.a,metadata.a,metadata.a.b,expected..b,tags.a,expected.\n"
    load("a.csv", header, problems)
    words = " ".join(problems)
    assert "columns 'expected' and 'expected.a' set one value. Keep one." in words
    assert "columns 'metadata.a' and 'metadata.a.b' set one value. Keep one." in words
    for name in ("expected..b", "tags.a", "expected."):
        assert f"unknown column {name!r}" in words


TEXTS = [
    *("no", "007", "1e3", "true", "null", "12", '"quoted"', "a, b", "", " "),
    *("[see note]", "[Bern]", "[1] in the list", "[a](b), [c](d)", "[INST] x, y [/INST] z"),
    *("{name}", "{{name}}", "{x, y}", "{ }x", "]", "[", "{", "[[wiki]]", "[-] done"),
]
BROKEN = [
    *('["a", "b"', "['a', 'b']", "[a, b]", "[1, 2", "[1, 2,]", "[0, 1)", '["a"] ["b"]', "[[1, 2]"),
    *('{"a": 1', "{'a': 1}", "{a: 1}", '{"a": 1,}', "[{'a': 1}]", "[None]", "[true", '{"a" 1}'),
    *("[NaN, 1]", '["a" "b"]', "[“a”]", "[1,", '["\ta"]'),
    *('{"a": 1, "a": 2}', "[" * 100 + "]" * 100, f"[{'9' * 200}]", "[1e999]"),
]


@pytest.mark.parametrize("name", ["a.csv", "a.tsv"])
def test_text_stays_text_and_broken_json_is_a_problem_with_its_line(
    load: Callable[..., EvalSet], name: str
) -> None:
    delimiter = "\t" if name == "a.tsv" else ","
    cells = [["id", "input", "expected"], *([f"t{n}", "x", text] for n, text in enumerate(TEXTS))]
    cases = load(name, table(cells, delimiter)).cases
    assert [case.expected for case in cases] == [text or None for text in TEXTS]
    cells = [["id", "input", "expected"], *([f"b{n}", text, text] for n, text in enumerate(BROKEN))]
    problems: list[str] = []
    load(name, table(cells, delimiter), problems)
    places = [problem.partition(" ")[0] for problem in problems]
    assert places == [f"{name}:{number}:" for number in range(2, len(BROKEN) + 2)]
    assert problems[0].startswith(
        f"{name}:2: column 'expected': the cell begins like a list, but is not valid JSON: "
    )
    assert problems[0].endswith('Write it as JSON, as in ["a", "b"].')


def test_a_label_in_a_cell_is_what_every_metric_compares_with(project: Project) -> None:
    rows = [
        ["id", "input", "expected", "metrics"],
        ["states-both", "Bern and Basel", '["BERN", "BASEL"]', "not_contains"],
        ["states-none", "Chur", '["BERN", "BASEL"]', "not_contains"],
        ["all", "Bern and Basel", '["BERN", "BASEL"]', '{"contains": {"all": true}}'],
        ["one-of", "Basel", '["BERN", "BASEL"]', "one_of"],
        ["json", '{"a": [1, 2]}', '{"A": [1, 2]}', "json"],
        ["text", "[x]", "[X]", "exact_match"],
    ]
    project.write("cases.csv", table(rows))
    project.write("set.yaml", "agent: {python: ./agent.py:answer}\ncases: cases.csv\n")
    done = project.evalkit("run", "set.yaml")
    assert done.code == 1
    assert "Cases: 1 failing, 5 passed" in done.out
    assert "  states-both  0/1  contains 'BERN', 'BASEL' (not_contains)" in done.out


WRONG_JSON = {
    '[{"id": "a", "input": "x"},\n {"id" "b"}]': "a.json:2: not valid JSON: Expecting ':' delimiter",
    '[{"id": "a", "input": "x"}\n {"id": "b"}]': "a.json:2: not valid JSON: Expecting ',' delimiter",
    '[{"id": "a", "input": "x"},]': "a.json:1: not valid JSON: ",
    '[{"id": "a", "input": "x"}': "a.json:1: not valid JSON: ",
    '[{"id": "a", "input": "x"}] []': "a.json:1: not valid JSON: Extra data in column 28",
    '{"id": "a", "input": "x"}\n{"id": "b", "input": "x"}': "If each line is one object, name the",
    '{"cases": [], "extra": 1}': "a.json:1: not valid JSON: Extra data",
    '{"case": []}': "a.json:1: case file: unknown key 'case'; did you mean 'cases'?",
    '"text"': "a.json:1: a case file must be a list of cases.",
    '[{"id": "a", "input": "x"},\n\n{"id": "b", "input": "x", "input": "y"}]': (
        "a.json:3: duplicate key 'input'. Keep one."
    ),
    '[{"id": "a", "input": "x", "expected": NaN}]': "a.json:1: numbers must be finite, but NaN",
    "[\n" + "[" * 10_000: "a.json:2: nested more than 64 levels deep.",
    "[\n[" + "1," * 500_000 + "1]]": "a.json:2: more than 500,000 values in one JSON value.",
    '[{"id": "a", "inptu": "x"}]': "a.json:1: case 'a': unknown key 'inptu'; did you mean 'input'?",
}


@pytest.mark.parametrize(("content", "words"), WRONG_JSON.items())
def test_a_wrong_json_file_is_a_problem_with_its_line(
    load: Callable[..., EvalSet], content: str, words: str
) -> None:
    problems: list[str] = []
    load("a.json", content, problems)
    assert any(words in problem for problem in problems), problems
    assert all(problem.startswith("a.json:") for problem in problems)


@pytest.mark.parametrize("content", ["", " \n", "[]", "[ ]", '{"cases": []}', "null", "{}"])
def test_a_json_file_without_cases_is_no_problem(
    load: Callable[..., EvalSet], content: str
) -> None:
    assert load("a.json", content).cases == ()


def test_what_is_wrong_with_a_parquet_file_is_a_problem(
    load: Callable[..., EvalSet], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def complain(select: str | bytes) -> list[str]:
        problems: list[str] = []
        data = select if isinstance(select, bytes) else parquet(tmp_path / "made.parquet", select)
        load("a.parquet", data, problems)
        return problems

    whole = parquet(tmp_path / "whole.parquet", "select 'a' as id, 'x' as input")
    for damaged in (b"", b"PAR1", whole[:-3], whole[4:], b"id,input\n1,x\n", bytes(1_000)):
        (problem,) = complain(damaged)
        assert problem.startswith("a.parquet: the file cannot be read as Parquet: ")
        assert "/dev/fd" not in problem
    assert complain("select 1 as id, 'x' as inptu") == [
        "a.parquet: unknown column 'inptu'; did you mean 'input'?",
    ]
    assert complain("select 'a' as id, 'x' as input, 'nan'::double as expected") == [
        "a.parquet:1: numbers must be finite, but NaN is not. Use null or text."
    ]
    assert complain("select null as id, '[1, 2' as expected, 'x' as input") == [
        """a.parquet:1: column 'expected': the cell begins like a list, but is not valid JSON: \
Expecting ',' delimiter in column 6. Write it as JSON, as in ["a", "b"].""",
        "a.parquet:1: case: id is missing. Add `id:`.",
    ]
    # Equal texts are stored once, so that a few kilobytes have a gigabyte of text.
    (problem,) = complain("select i as id, repeat('x', 400000) as input from range(2500) t(i)")
    assert problem == "a.parquet: the file needs more than 512MB of memory to read. Split it."
    monkeypatch.setattr(parquet_table, "MAX_ROWS", 9)
    (problem,) = complain("select i as id, 'x' as input from range(10) t(i)")
    assert problem == "a.parquet: 10 rows; at most 9 are allowed. Split the file."


def test_nulls_in_parquet_are_missing_values(load: Callable[..., EvalSet], tmp_path: Path) -> None:
    rows = """
        select * from (values
            (1, 'x', {'city': 'Bern', 'zip': NULL}, [{'contains': {'all': true}, 'json': NULL}], 1.5),
            (2, 'y', NULL, [{'contains': NULL, 'json': {'at': 'a'}}], NULL)
        ) as t(id, input, expected, metrics, "metadata.n")
    """
    one, two = load("a.parquet", parquet(tmp_path / "a.parquet", rows)).cases
    assert (one.id, one.expected, one.metadata) == ("1", {"city": "Bern"}, {"n": 1.5})
    assert [(spec.ref, spec.args) for spec in one.metrics] == [("contains", {"all": True})]
    assert (two.expected, two.metadata) == (None, {})
    assert [(spec.ref, spec.args) for spec in two.metrics] == [("json", {"at": "a"})]


def test_a_file_that_git_lfs_has_not_fetched_is_named(load: Callable[..., EvalSet]) -> None:
    problems: list[str] = []
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12\n"
    load("a.parquet", pointer, problems)
    assert problems == [
        "set.yaml:1: case file 'a.parquet' is only a pointer of Git LFS. Run `git lfs pull`."
    ]


def test_cases_in_parquet_are_compared_with_those_at_the_base(
    project: Project, git: Callable[..., str], tmp_path: Path
) -> None:
    select = "select 'one' as id, 'one' as input, {'output': '%s'} as expected"
    project.write("cases.parquet", parquet(tmp_path / "a.parquet", select % "ONE"))
    project.write(
        "set.yaml",
        "agent: {python: ./agent.py:answer}\ncases: cases.parquet\n"
        "metrics: [{exact_match: {expected: output}}]\n",
    )
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "base"]):
        git(*command)
    project.write("agent.py", "def answer(text):\n    return 'two'\n")
    project.write("cases.parquet", parquet(tmp_path / "a.parquet", select % "two"))
    assert project.evalkit("run", "set.yaml").code == 0
    done = project.evalkit("run", "set.yaml", "--base", "HEAD")
    assert done.code == 4
    assert "case relabeled: one" in done.out


# Laws


SCALARS = st.none() | st.booleans() | st.integers(-(10**30), 10**30) | st.text(max_size=9)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner, max_size=4)
    ),
    max_leaves=10,
)


def read_one(data: bytes, read: Callable[..., Iterator[Any]]) -> Case:
    problems: list[Problem] = []
    (node,) = read(data, "x", problems)
    case = read_case(node, problems, lambda _: ())
    assert case is not None
    assert not problems
    return case


@given(value=st.lists(VALUES, max_size=4) | st.dictionaries(st.text(max_size=9), VALUES))
@settings(max_examples=60, deadline=None)
def test_a_list_or_mapping_in_a_cell_or_file_is_what_was_written(value: object) -> None:
    cell = table([["id", "input", "expected"], ["a", "x", f" {json.dumps(value)}\n"]])
    assert read_one(cell.encode(), read_csv_cases).expected == value
    whole = json.dumps([{"id": "a", "input": "x", "expected": value}])
    assert read_one(whole.encode(), read_json_cases).expected == value


def validate(folder: Path) -> int:
    """The exit code of `evalkit validate`, in this process."""
    unseen = io.TextIOWrapper(io.BytesIO(), "utf-8")
    with (
        contextlib.redirect_stdout(unseen),
        contextlib.redirect_stderr(unseen),
        pytest.raises(SystemExit) as done,
    ):
        main(("validate", str(folder / "set.yaml")))
    return int(done.value.code or 0)


ORIGINALS: dict[str, Callable[[Path], bytes]] = {
    "set.yaml": lambda _: (
        b"agent: {python: agent:answer}\nx-d: &d {tags: [a], expected: [x, y]}\n"
        b"metrics: &m [contains]\ncases:\n  - {<<: *d, id: a, input: x}\n"
        b"  - &b {id: b, input: x, metrics: *m, expected: {a: 1}}\n  - {<<: [*b, *d], id: c}\n"
    ),
    "c.csv": lambda _: table(as_cells(ROWS)).encode(),
    "c.tsv": lambda _: table(as_cells(ROWS), "\t").encode(),
    "c.json": lambda _: json.dumps(ROWS, indent=1).encode(),
    "c.jsonl": lambda _: "\n".join(map(json.dumps, ROWS)).encode(),
    "c.parquet": lambda folder: parquet(
        folder / "made.parquet",
        "select i::varchar as id, 'x' as input, {'a': [i]} as expected, ['t'] as tags "
        "from range(50) t(i)",
    ),
}


@pytest.mark.parametrize("name", ORIGINALS)
def test_any_mutated_file_is_valid_invalid_or_empty(tmp_path: Path, name: str) -> None:
    (tmp_path / "agent.py").write_text("def answer(text):\n    return text\n")
    original = ORIGINALS[name](tmp_path)
    (tmp_path / "set.yaml").write_text(
        f"agent: {{python: agent:answer}}\njudge: lexical\nmetrics: [contains]\ncases: {name}\n"
    )

    @given(seed=st.integers(0, 2**32))
    @settings(
        max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
    )
    def check(seed: int) -> None:
        chance, data = random.Random(seed), bytearray(original)
        for _ in range(chance.choice((1, 1, 2, 8))):
            place = chance.randrange(len(data))
            match chance.randrange(4):
                case 0:
                    data[place] = chance.randrange(256)
                case 1:
                    del data[place : place + chance.randrange(1, 9)]
                case 2:
                    data[place:place] = data[: chance.randrange(1, 40)]
                case 3:
                    data[place:place] = chance.choice((b"*d", b"&d ", b"<<: ", b"[", b'"', b"\xff"))
            data = data or bytearray(b"x")
        (tmp_path / name).write_bytes(data)
        assert validate(tmp_path) in (0, 2, 5)

    check()
