"""Eval sets are read with the files they name and the project file above them, all problems at once."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit.core.eval_set import AgentSpec, Case, EvalSet, MetricSpec, Rule, Turn
from evalkit.core.location import Location, Problem
from evalkit.evalset import loader as evalset_module
from evalkit.evalset.case_files import read_csv_cases, read_jsonl_cases
from evalkit.evalset.cases import read_case
from evalkit.evalset.keys import AGENT_KEYS, CASE_KEYS, RULE_KEYS, SET_KEYS, TURN_KEYS
from evalkit.evalset.loader import load_evalset
from evalkit.evalset.nodes import MAX_PROBLEMS, MAX_TEXT
from tests.support.paths import TESTS

EXAMPLES = TESTS / "examples"
VALID = sorted(
    path.relative_to(EXAMPLES)
    for path in [*EXAMPLES.glob("valid/*.yaml"), *EXAMPLES.glob("valid/project/sets/*.yaml")]
)
INVALID = sorted(
    path.relative_to(EXAMPLES)
    for path in [*EXAMPLES.glob("invalid/*.yaml"), *EXAMPLES.glob("invalid/project/set.yaml")]
)


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., EvalSet]:
    """Write files into a project, and load its `set.yaml`, in which nothing may be wrong."""
    monkeypatch.chdir(tmp_path)

    def load_files(files: dict[str, str | bytes] | str, path: str = "set.yaml") -> EvalSet:
        evalset, problems = load_evalset(write(files, path), root=tmp_path)
        assert not problems
        return evalset

    return load_files


@pytest.fixture
def complain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """Write files into a project, load its `set.yaml`, and tell what is wrong."""
    monkeypatch.chdir(tmp_path)

    def load_files(files: dict[str, str | bytes] | str, path: str = "set.yaml") -> list[str]:
        _, problems = load_evalset(write(files, path), root=tmp_path)
        return [str(problem) for problem in problems]

    return load_files


def write(files: dict[str, str | bytes] | str, path: str) -> Path:
    for name, content in ({path: files} if isinstance(files, str) else files).items():
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return Path(path)


# The examples


@pytest.mark.parametrize("path", VALID, ids=str)
def test_a_valid_example_loads(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(EXAMPLES)
    evalset, problems = load_evalset(path, root=EXAMPLES)
    assert not problems
    stated = re.match(r"# cases: (\d+)\n", path.read_text())
    assert len(evalset.cases) == (int(stated[1]) if stated else 0)


@pytest.mark.parametrize("path", INVALID, ids=str)
def test_an_invalid_example_is_refused_for_just_the_reasons_it_states(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(EXAMPLES)
    stated = re.findall(r"^# expect: (?:(\S+?):)?(\d+): (.+)$", path.read_text(), re.MULTILINE)
    assert stated
    _, problems = load_evalset(path, root=EXAMPLES)
    unmet = [str(problem) for problem in problems]
    for file, line, words in stated:
        met = [
            found
            for found in unmet
            if found.startswith(f"{file or path}:{line}: ") and words in found
        ]
        assert met, (words, unmet)
        unmet.remove(met[0])
    assert not unmet


# What is read


def test_every_part_of_a_set_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(EXAMPLES / "valid")
    evalset, _ = load_evalset(Path("full.yaml"), root=EXAMPLES)
    assert (evalset.name, evalset.path, evalset.description) == (
        "support",
        "full.yaml",
        "Every key there is.",
    )
    assert evalset.settings == {
        "trials": 3,
        "concurrency": 16,
        "max_errors": 2,
        "on_inconclusive": "fail",
        "retry_deadline_s": 60.5,
        "seed": -7,
    }
    assert evalset.agent == AgentSpec(
        kind="http",
        args={
            "url": "http://127.0.0.1:8000/chat",
            "headers": {"Authorization": "Bearer ${SUPPORT_KEY}"},
            "body": {"prompt": "{input}", "options": {"temperature": 0}},
        },
        version="1.10",
        timeout_s=30.0,
        attempts=2,
        env=("SUPPORT_KEY", "LANG"),
        where=Location(path="full.yaml", line=12, column=3),
    )
    assert [(spec.ref, spec.name, spec.args, spec.tags) for spec in evalset.metrics] == [
        ("exact_match", "exact_match", {}, ()),
        ("latency_s", "latency_s", {}, ()),
        ("contains", "contains", {"all": True}, ()),
        ("regex", "is_number", {"": r"^\d+$"}, ("numbers",)),
        ("one_of", "one_of", {"": ["yes", "no"]}, ()),
        ("./politeness.py:politeness", "politeness", {}, ()),
        ("company.metrics:tone", "tone", {}, ()),
    ]
    assert [spec.where.line for spec in evalset.metrics] == [21, 22, 23, 24, 27, 28, 29]


def test_every_kind_of_rule_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(EXAMPLES / "valid")
    evalset, _ = load_evalset(Path("full.yaml"), root=EXAMPLES)

    def at(line: int) -> Location:
        return Location(path="full.yaml", line=line, column=5)

    assert evalset.gate == (
        Rule(
            metric="exact_match",
            max_drop=0.02,
            margin=0.1,
            alpha=0.01,
            estimand="users",
            primary=True,
            where=at(31),
        ),
        Rule(metric="contains", min=0.8, test="point", where=at(32)),
        Rule(metric="latency_s", stat="p95", max_rise=0.2, and_at_least=0.5, where=at(33)),
        Rule(metric="tone", tag="refunds", max=1.0, stat="rate", where=at(34)),
        Rule(max_regressed=0, where=at(35)),
        Rule(must_pass=("refunds", "numbers"), where=at(36)),
        Rule(must_pass=(), where=at(37)),
    )


def test_every_kind_of_case_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(EXAMPLES / "valid")
    evalset, _ = load_evalset(Path("full.yaml"), root=EXAMPLES)
    first, talk, empty, block = evalset.cases
    assert first == Case(
        id="refund-window",
        input="How long do I have to return shoes?",
        expected="30 days",
        tags=("refunds",),
        metadata={"user": {"name": "Ann", "age": 41}, "vip": True},
        cluster="returns",
        metrics=(
            MetricSpec(
                ref="regex",
                name="exact_match",
                args={"": "30"},
                where=Location(path="full.yaml", line=46, column=9),
            ),
            MetricSpec(
                ref="similarity",
                name="similarity",
                where=Location(path="full.yaml", line=47, column=9),
            ),
        ),
        digest=first.digest,
        where=Location(path="full.yaml", line=39, column=5),
    )
    assert talk.input == (
        Turn(role="system", content="Be brief."),
        Turn(role="user", content="Hello"),
        Turn(role="assistant", content="Hello. How can I help?"),
        Turn(role="user", content="Where is order 12?"),
    )
    assert talk.expected == {"topic": "orders", "ids": [12]}
    assert (empty.input, empty.expected) == ("", "")
    assert (block.input, block.expected) == (
        "Two lines:\n  the second is indented.\n",
        "Folded into one line.",
    )


def test_scalars_are_what_they_look_like_and_text_where_text_belongs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(EXAMPLES)
    evalset, _ = load_evalset(Path("valid/scalars.yaml"), root=EXAMPLES)
    assert [(case.id, case.input, case.expected) for case in evalset.cases] == [
        ("12", "no", "no"),
        ("012", "yes", "0123"),
        ("1.50", "1:30", "1:30"),
        ("true", "off", "1_000"),
        ("2024-01-01", "2024-01-01", "2024-01-01"),
        ("1e3", "1e3", "1e3"),
        ("null value", "~", None),
        ("hex", "0x1F", "0o17"),
        ("signs", "+1", 0),
        ("dots", ".5", "5."),
        ("not finite", ".nan", "-.inf"),
        ("capitals", "True", "NULL"),
        ("typed", "typed", [True, 12, -1.5, None, 1.0]),
        ("quoted", "12", ["true", "12", "null"]),
        ("escapes", "nul \0, escape \x1b, separator \u2028, emoji 😀", "A"),
    ]


def test_case_files_of_every_kind_are_read_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(EXAMPLES)
    evalset, _ = load_evalset(Path("valid/files.yaml"), root=EXAMPLES)
    cases = {case.id: case for case in evalset.cases}
    assert list(cases) == [
        *("inline", "list-1", "list-2", "mapping-1", "csv-1", "12", "csv-3"),
        *("json-1", "7", "json-3", "json-4"),
    ]
    shoes = cases["csv-1"]
    assert (shoes.input, shoes.expected) == ("How long, exactly?", "30 days")
    assert (shoes.tags, shoes.cluster) == (("refunds", "shoes"), "returns")
    assert shoes.metadata == {"lang": "en"}
    assert str(shoes.where) == "valid/files/table.csv:2"
    assert cases["12"].input == 'two\nlines with "quotes"'
    assert (cases["12"].expected, cases["12"].tags, cases["12"].metadata) == (None, (), {})
    assert (cases["csv-3"].input, cases["csv-3"].expected) == ("no", "0123")
    assert str(cases["csv-3"].where) == "valid/files/table.csv:6"
    assert cases["json-1"].expected == {"a": [1, 2.5, None, True]}
    assert str(cases["7"].where) == "valid/files/lines.jsonl:3"
    assert cases["7"].input == (Turn(role="user", content="hi"),)
    assert cases["json-3"].input == "half a pair: \ud800"
    assert [spec.name for spec in cases["json-3"].metrics] == ["starts"]
    assert cases["json-4"].input == "separator \u2028 and \u0085 inside"


@pytest.mark.parametrize(
    "content",
    [
        *("", "# nothing\n", "---\n", "cases: []\n", "cases:\n", "agent: {python: a:b}\n"),
        "cases: [none.jsonl, none.csv, none.yaml]\n",
    ],
)
def test_a_set_without_cases_is_no_problem_of_its_own(
    load: Callable[..., EvalSet], content: str
) -> None:
    evalset = load(
        {"none.jsonl": "\n", "none.csv": "id,input\n", "none.yaml": "", "set.yaml": content}
    )
    assert evalset.cases == ()
    assert evalset.name == "set"


def test_byte_order_marks_and_windows_line_ends_change_nothing(
    load: Callable[..., EvalSet],
) -> None:
    files = {
        "set.yaml": "cases:\n- {id: a, input: |-\n  x}\n- b.jsonl\n- c.csv\n".replace("|-\n  ", ""),
        "b.jsonl": '{"id": "b", "input": "x"}\n{"id": "c", "input": "x"}\n',
        "c.csv": "id,input\nd,x\ne,x\n",
    }
    unix = load(files)
    windows = load(
        {
            name: b"\xef\xbb\xbf" + content.replace("\n", "\r\n").encode()
            for name, content in files.items()
        }
    )
    assert windows == unix
    assert len(unix.cases) == 5


@pytest.mark.parametrize("name", ["set.yaml", "b.jsonl", "c.csv"])
@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be", "utf-32", "latin-1"])
def test_another_encoding_is_named(
    complain: Callable[..., list[str]], name: str, encoding: str
) -> None:
    files: dict[str, str | bytes] = {
        "set.yaml": "cases: [b.jsonl, c.csv]\ndescription: größe\n",
        "b.jsonl": '{"id": "b", "input": "größe"}\n',
        "c.csv": "id,input\nd,größe\n",
    }
    files[name] = str(files[name]).encode(encoding)
    wanted = {"latin-1": "Latin-1"}.get(encoding, encoding.upper()[:6])
    (found,) = complain(files)
    assert found.startswith(name)
    assert wanted in found


# The project file


PROJECT = (
    "agent: {command: [echo]}\nmetrics: [exact_match]\n"
    "gate: [{metric: exact_match, min: 0.5}]\ntrials: 5\nseed: 3\n"
)
ONE_CASE = "cases: [{id: a, input: x}]\n"


def test_a_set_takes_from_the_project_file_what_it_does_not_say(
    load: Callable[..., EvalSet],
) -> None:
    evalset = load(
        {"evalkit.yaml": PROJECT, "sets/a.yaml": "trials: 2\n" + ONE_CASE}, "sets/a.yaml"
    )
    assert evalset.settings == {"trials": 2, "seed": 3}
    assert evalset.agent is not None
    assert evalset.agent.kind == "command"
    assert str(evalset.agent.where) == "evalkit.yaml:1"
    assert [spec.name for spec in evalset.metrics] == ["exact_match"]
    assert [rule.min for rule in evalset.gate] == [0.5]


def test_what_a_set_says_replaces_the_project_files_whole(load: Callable[..., EvalSet]) -> None:
    content = "agent: {python: a:b}\nmetrics: [contains]\ngate: []\n" + ONE_CASE
    evalset = load({"evalkit.yaml": PROJECT, "set.yaml": content})
    assert evalset.agent is not None
    assert (evalset.agent.kind, evalset.agent.args) == ("python", {"": "a:b"})
    assert [spec.name for spec in evalset.metrics] == ["contains"]
    assert evalset.gate == ()


def test_the_nearest_project_file_counts_and_none_above_the_root(tmp_path: Path) -> None:
    folder = tmp_path / "outer" / "inner" / "sets"
    folder.mkdir(parents=True)
    (folder / "a.yaml").write_text(ONE_CASE)
    (tmp_path / "evalkit.yaml").write_text("seed: 1\n")
    assert load_evalset(folder / "a.yaml", root=tmp_path / "outer")[0].settings == {}
    assert load_evalset(folder / "a.yaml", root=tmp_path)[0].settings == {"seed": 1}
    (tmp_path / "outer" / "inner" / "evalkit.yaml").write_text("seed: 2\n")
    assert load_evalset(folder / "a.yaml", root=tmp_path)[0].settings == {"seed": 2}
    assert load_evalset(folder / "a.yaml", root=tmp_path / "elsewhere")[0].settings == {}


def test_a_project_file_that_cannot_be_read_is_a_problem(
    complain: Callable[..., list[str]], tmp_path: Path
) -> None:
    project = tmp_path / "root" / "evalkit.yaml"
    write({"root/set.yaml": ONE_CASE, "outside.yaml": "secret: 1\n"}, "")
    for target, words in {
        "nowhere.yaml": "does not exist",
        "/dev/zero": "is outside of the project",
        "../outside.yaml": "is outside of the project",
        ".": "is a folder",
    }.items():
        project.symlink_to(target)
        _, problems = load_evalset(Path("root/set.yaml"), root=tmp_path / "root")
        assert [str(problem) for problem in problems] == [
            found for found in map(str, problems) if found.startswith("root/evalkit.yaml: the file")
        ]
        assert len(problems) == 1
        assert words in str(problems[0])
        project.unlink()
    assert complain({"evalkit.yaml": "a: [\n", "set.yaml": ONE_CASE})[0].startswith("evalkit.yaml:")


# Files that are not there, or no files


@pytest.mark.parametrize("kind", ["pipe", "zero", "outside", "loop", "unreadable"])
def test_what_is_no_readable_file_of_the_project_is_a_problem_where_it_is_named(
    complain: Callable[..., list[str]], tmp_path: Path, kind: str
) -> None:
    inside = tmp_path / "project"
    inside.mkdir()
    (tmp_path / "outside.csv").write_text("id,input\na,x\n")
    os.mkfifo(inside / "pipe.csv")
    (inside / "zero.csv").symlink_to("/dev/zero")
    (inside / "outside.csv").symlink_to("../outside.csv")
    (inside / "loop.csv").symlink_to("loop.csv")
    (inside / "unreadable.csv").symlink_to("unreadable.csv/" + "x" * 300)
    (inside / "set.yaml").write_text(f"cases:\n  - {kind}.csv\n")
    evalset, problems = load_evalset(Path("project/set.yaml"), root=inside)
    assert evalset.cases == ()
    assert [str(problem.where) for problem in problems] == ["project/set.yaml:2"]
    assert problems[0].message.startswith(f"case file '{kind}.csv' ")


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (Path.exists, "set.yaml: the file does not exist; did you mean 'sets.yaml'?"),
        (lambda path: path.mkdir(), "set.yaml: the file is a folder, not a file."),
        (os.mkfifo, "set.yaml: the file is a named pipe, not a file."),
        (lambda path: path.symlink_to("/dev/zero"), "set.yaml: the file is a device, not a file."),
    ],
)
def test_a_set_that_is_no_file_is_one_problem(
    complain: Callable[..., list[str]], make: Callable[[Path], object], words: str
) -> None:
    write({"sets.yaml": ONE_CASE}, "")
    make(Path("set.yaml"))
    assert complain({}) == [words]


def test_a_prompt_may_be_as_long_as_documented_and_no_longer(
    complain: Callable[..., list[str]], load: Callable[..., EvalSet]
) -> None:
    files = {
        "set.yaml": "cases: [a.jsonl, b.csv, {id: c, input: PROMPT}]\n",
        "a.jsonl": '{"id": "a", "input": "PROMPT"}\n',
        "b.csv": "id,input\nb,PROMPT\n",
    }

    def with_prompt(length: int) -> dict[str, str]:
        return {name: text.replace("PROMPT", "x" * length) for name, text in files.items()}

    assert [len(case.input) for case in load(with_prompt(MAX_TEXT)).cases] == [MAX_TEXT] * 3
    yaml_problem, jsonl_problem, csv_problem = complain(with_prompt(MAX_TEXT + 1))
    assert (
        yaml_problem == "set.yaml:1: text of 8,388,609 characters; at most 8,388,608 are allowed."
    )
    assert (
        jsonl_problem == "a.jsonl:1: text of 8,388,609 characters; at most 8,388,608 are allowed."
    )
    assert csv_problem.startswith("b.csv:2: not valid CSV: field larger than field limit (8388608)")


# Locations and amounts


def test_locations_are_paths_as_the_user_would_type_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sets").mkdir()
    (tmp_path / "cases.csv").write_text("id,input\na,x\n")
    (tmp_path / "sets" / "set.yaml").write_text("cases: [../cases.csv, {id: b, input: x}]\n")

    def places(path: str | Path) -> list[str]:
        evalset, _ = load_evalset(Path(path), root=tmp_path)
        return [evalset.path, *(str(case.where) for case in evalset.cases)]

    monkeypatch.chdir(tmp_path)
    wanted = ["sets/set.yaml", "cases.csv:2", "sets/set.yaml:1"]
    assert places("sets/set.yaml") == places("./sets/../sets/set.yaml") == wanted
    assert places(tmp_path / "sets" / "set.yaml") == wanted
    monkeypatch.chdir(tmp_path / "sets")
    assert places("set.yaml") == ["set.yaml", "../cases.csv:2", "set.yaml:1"]
    monkeypatch.chdir("/")
    whole = tmp_path / "sets" / "set.yaml"
    assert places(whole)[0] == str(whole.relative_to("/"))


def test_a_flood_of_problems_is_cut_where_it_stands(complain: Callable[..., list[str]]) -> None:
    lines = "".join(f'{{"id": "{n}", "input": "x", "tags": "y"}}\n' for n in range(5_000))
    found = complain({"set.yaml": "cases: [a.jsonl]\n", "a.jsonl": lines})
    assert MAX_PROBLEMS <= len(found) <= MAX_PROBLEMS + 5
    assert re.match(r"a\.jsonl:\d+: too many problems", found[-1])
    broken = complain({"set.yaml": "cases: [a.jsonl]\n", "a.jsonl": "{\n" * 5_000})
    assert len(broken) == MAX_PROBLEMS + 1


@pytest.mark.parametrize(
    ("files", "words"),
    [
        (
            {"set.yaml": "".join(f"key-{number}: x\n" for number in range(10_000))},
            "set.yaml:21: eval set: 9,980 more unknown keys.",
        ),
        (
            {"set.yaml": "gate:\n" + "- x\n" * 10_000},
            "set.yaml:2: gate has 10,000 items; at most 1,000 are allowed.",
        ),
        (
            {"set.yaml": "cases: a.csv\n", "a.csv": ",".join(map(str, range(10_000)))},
            "a.csv:1: 10,000 columns; at most 200 are allowed.",
        ),
        (
            {"set.yaml": "cases: a.jsonl\n", "a.jsonl": "[" + "0," * 500_000 + "0]"},
            "a.jsonl:1: more than 500,000 values in one JSON value. Split it.",
        ),
    ],
    ids=["keys", "rules", "columns", "values"],
)
def test_a_flood_of_anything_else_is_told_in_few_words(
    complain: Callable[..., list[str]], files: dict[str, str], words: str
) -> None:
    found = complain(files)
    assert found[-1] == words
    assert len(found) <= 21


def test_brackets_and_commas_in_a_prompt_are_just_text(load: Callable[..., EvalSet]) -> None:
    prompt = '[{"\\' * 200 + "," * 600_000 + "\ud800"
    line = json.dumps({"id": "a", "input": prompt})
    assert load({"set.yaml": "cases: a.jsonl\n", "a.jsonl": line}).cases[0].input == prompt


def test_more_cases_than_documented_are_refused(
    complain: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evalset_module, "MAX_CASES", 3)
    lines = "".join(f'{{"id": {number}, "input": "x"}}\n' for number in range(5))
    (found,) = complain({"set.yaml": "cases: [a.jsonl]\n", "a.jsonl": lines})
    assert found == "a.jsonl:4: a set may have 3 cases; here is one more. Split the set."


def test_twenty_thousand_inline_cases_load(load: Callable[..., EvalSet]) -> None:
    started = time.process_time()
    cases = "".join(
        f"  - {{id: case-{number}, input: How long?, expected: 30 days, tags: [a, b]}}\n"
        for number in range(20_000)
    )
    evalset = load("cases:\n" + cases)
    assert len(evalset.cases) == 20_000
    assert evalset.cases[-1].where.line == 20_001
    assert time.process_time() - started < 20


def test_every_problem_of_every_file_is_told_at_once(complain: Callable[..., list[str]]) -> None:
    found = complain(
        {
            "evalkit.yaml": "trails: 3\n",
            "set.yaml": "agent: {}\ncases:\n- {id: a, input: x, tags: x}\n- a.csv\n- b.jsonl\n- c\n",
            "a.csv": "id,input\na,x\n,x\n",
            "b.jsonl": "{\n",
        }
    )
    places = [":".join(complaint.split(":")[:2]) for complaint in found]
    assert places == [
        *("set.yaml:1", "evalkit.yaml:1", "set.yaml:3", "a.csv:2", "a.csv:3", "b.jsonl:1"),
        "set.yaml:6",
    ]


# Ids


@pytest.mark.parametrize(
    "case_id",
    [
        "a/b",
        "..",
        "-",
        "a b",
        "größe",
        "注文",
        "👩‍👩‍👧‍👦",
        "\u202ertl",
        "<b>",
        "::error::",
        "CON",
        "x" * 200,
    ],
)
def test_an_id_may_be_any_printable_text(load: Callable[..., EvalSet], case_id: str) -> None:
    content = json.dumps({"cases": [{"id": case_id, "input": "x"}]}, ensure_ascii=False)
    assert load(content).cases[0].id == case_id


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("a", "a"),
        ("a", "A"),
        ("é", "e\u0301"),
        ("É", "e\u0301"),
        ("straße", "STRASSE"),
        ("\u1e9e", "ss"),
        ("ﬁ", "FI"),
        ("Å", "\u212b"),
    ],
)
def test_ids_that_people_or_file_systems_take_for_one_are_refused(
    complain: Callable[..., list[str]], first: str, second: str
) -> None:
    files = {
        "set.yaml": "cases: [b.jsonl, c.csv]\n",
        "b.jsonl": json.dumps({"id": first, "input": "x"}),
        "c.csv": f"id,input\n{second},x\n",
    }
    (found,) = complain(files)
    assert found.startswith("c.csv:2: case ")
    assert "at b.jsonl:1 " in found


def test_ids_that_only_look_alike_are_two(load: Callable[..., EvalSet]) -> None:
    # Latin and Cyrillic; a ligature of compatibility; a number in full width.
    assert (
        len(load("cases: [{id: a, input: x}, {id: а, input: x}, {id: １, input: x}]\n").cases) == 3
    )


# Digests


CASE = {
    "id": "a",
    "input": [{"role": "user", "content": "x"}],
    "expected": {"b": 1, "a": [1.5, None, "é"]},
    "tags": ["t"],
    "metadata": {"k": {"z": 1, "y": 2}},
    "cluster": "c",
    "metrics": [{"regex": {"pattern": "^a", "of": "text"}, "name": "m"}, "exact_match"],
}


def test_a_digest_does_not_depend_on_file_order_or_spelling(load: Callable[..., EvalSet]) -> None:
    turned = {key: CASE[key] for key in reversed(CASE)}
    turned["metadata"] = {"k": {"y": 2, "z": 1}}
    turned["metrics"] = ["exact_match", {"name": "m", "regex": {"of": "text", "pattern": "^a"}}]
    sets = [
        load({"set.yaml": json.dumps({"cases": [CASE]})}),
        load({"set.yaml": yaml.safe_dump({"cases": [turned]}, allow_unicode=True)}),
        load({"set.yaml": "cases: [moved.jsonl]", "moved.jsonl": json.dumps(turned)}),
        load({"other.yaml": "cases: [b/c.yml]", "b/c.yml": json.dumps([CASE])}, "other.yaml"),
    ]
    assert len({evalset.cases[0].digest for evalset in sets}) == 1
    assert len({evalset.digest for evalset in sets}) == 1


@pytest.mark.parametrize(
    ("change", "case_changes"),
    [
        ({"input": "x"}, True),
        ({"expected": {"b": 1, "a": [1.5, None, "e"]}}, True),
        ({"expected": {"b": "1", "a": [1.5, None, "é"]}}, True),
        ({"metadata": {}}, True),
        ({"metrics": []}, True),
        (
            {"metrics": ["exact_match", {"regex": {"pattern": "^b", "of": "text"}, "name": "m"}]},
            True,
        ),
        (
            {"metrics": ["exact_match", {"regex": {"pattern": "^a", "of": "text"}, "name": "n"}]},
            True,
        ),
        ({"id": "b"}, False),
        ({"tags": ["u"]}, False),
        ({"cluster": "d"}, False),
    ],
)
def test_a_digest_covers_what_can_change_a_score_or_a_verdict(
    load: Callable[..., EvalSet], change: dict[str, object], case_changes: bool
) -> None:
    before = load(json.dumps({"cases": [CASE]}))
    after = load(json.dumps({"cases": [{**CASE, **change}]}))
    assert (before.cases[0].digest != after.cases[0].digest) == case_changes
    assert before.digest != after.digest


def test_a_draft_is_no_label_and_changes_no_score(load: Callable[..., EvalSet]) -> None:
    unlabeled = {key: CASE[key] for key in CASE if key != "expected"}
    before = load(json.dumps({"cases": [unlabeled]}))
    after = load(json.dumps({"cases": [{**unlabeled, "draft": "y", "provenance": {"pi": 0.1}}]}))
    assert after.cases[0].expected is None
    assert after.cases[0].draft == "y"
    assert after.cases[0].provenance == {"pi": 0.1}
    assert before.cases[0].digest == after.cases[0].digest
    assert before.digest != after.digest  # the verdict differs: a draft leaves it undecided
    emptied = load(json.dumps({"cases": [{**unlabeled, "draft": None}]}))
    assert emptied.cases[0].draft == ""
    assert load(json.dumps({"cases": [{**CASE, "draft": None}]})).cases[0].draft is None


@pytest.mark.parametrize(
    ("change", "changes"),
    [
        ({"metrics": ["contains"]}, True),
        ({"gate": [{"metric": "m", "min": 0.1}]}, True),
        ({"description": "x"}, False),
        ({"trials": 7}, False),
        ({"agent": {"python": "a:c"}}, False),
    ],
)
def test_a_sets_digest_covers_metrics_and_gate(
    load: Callable[..., EvalSet], change: dict[str, object], changes: bool
) -> None:
    content = {"cases": [CASE], "agent": {"python": "a:b"}}
    assert (
        load(json.dumps(content)).digest != load(json.dumps({**content, **change})).digest
    ) == changes


# Laws


NO_SURROGATES = st.characters(exclude_categories=["Cs"])
JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner, max_size=4)
    ),
    max_leaves=10,
)


def read_one(data: bytes, reader: Callable[..., Any]) -> Case:
    problems: list[Problem] = []
    (node,) = reader(data, "x", problems)
    case = read_case(node, problems, lambda _: ())
    assert case is not None
    assert not problems
    return case


@given(prompt=st.text(), expected=JSON_VALUES)
@settings(max_examples=60, deadline=None)
def test_jsonl_gives_back_what_was_written(prompt: str, expected: object) -> None:
    line = json.dumps({"id": "a", "input": prompt, "expected": expected})
    case = read_one(line.encode(), read_jsonl_cases)
    assert (case.input, case.expected) == (prompt, expected)


@given(prompt=st.text(NO_SURROGATES, min_size=1), expected=st.text(NO_SURROGATES))
@settings(max_examples=60, deadline=None)
def test_csv_gives_back_what_was_written(prompt: str, expected: str) -> None:
    table = io.StringIO(newline="")
    csv.writer(table).writerows([["id", "input", "expected"], ["a", prompt, expected]])
    case = read_one(table.getvalue().encode(), read_csv_cases)
    assert (case.input, case.expected) == (prompt, expected or None)


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with case files; `set.yaml` in it is written over and over."""
    folder = tmp_path_factory.mktemp("scratch")
    for path in (EXAMPLES / "valid" / "files").iterdir():
        (folder / "files").mkdir(exist_ok=True)
        (folder / "files" / path.name).write_bytes(path.read_bytes())
    return folder


def check_any(folder: Path, content: bytes, name: str = "set.yaml") -> None:
    """Whatever the content, there is a set, and problems that have a message and a place."""
    (folder / name).write_bytes(content)
    evalset, problems = load_evalset(folder / "set.yaml", root=folder)
    assert isinstance(evalset, EvalSet)
    assert all(problem.message and problem.where for problem in problems)


KEYS = st.sampled_from([*SET_KEYS, *CASE_KEYS, *AGENT_KEYS, *RULE_KEYS, *TURN_KEYS, "name", "x"])
SHAPES = st.recursive(
    JSON_VALUES | st.sampled_from(["files/table.csv", "files", "all", "user", "a:b", ".nan"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=25,
)


@given(content=st.dictionaries(st.sampled_from(list(SET_KEYS)), SHAPES))
@settings(max_examples=60, deadline=None)
def test_any_shape_at_all_gives_a_set_and_problems(scratch: Path, content: object) -> None:
    check_any(scratch, json.dumps(content, ensure_ascii=False).encode(errors="replace"))


@given(
    text=st.text(NO_SURROGATES), name=st.sampled_from(["set.yaml", "a.csv", "b.jsonl", "c.yaml"])
)
@settings(max_examples=60, deadline=None)
def test_any_text_at_all_gives_a_set_and_problems(scratch: Path, text: str, name: str) -> None:
    (scratch / "set.yaml").write_text(f"cases: [{name}]\n")
    check_any(scratch, text.encode(), name)


FULL = (EXAMPLES / "valid" / "full.yaml").read_bytes()


@given(place=st.integers(0, len(FULL) - 1), byte=st.integers(0, 255))
@settings(max_examples=60, deadline=None)
def test_any_changed_byte_gives_a_set_and_problems(scratch: Path, place: int, byte: int) -> None:
    check_any(scratch, FULL[:place] + bytes([byte]) + FULL[place + 1 :])


@pytest.mark.parametrize(
    "path", ["valid/full.yaml", "valid/files/table.csv", "valid/files/lines.jsonl"]
)
def test_any_truncation_gives_a_set_and_problems(scratch: Path, path: str) -> None:
    data = (EXAMPLES / path).read_bytes()
    name = "set.yaml" if path.endswith("full.yaml") else Path(path).name
    (scratch / "set.yaml").write_text(f"cases: [{name}]\n")
    for length in range(0, len(data), 16):
        check_any(scratch, data[:length], name)


def test_nothing_named_in_a_tag_is_run(complain: Callable[..., list[str]], tmp_path: Path) -> None:
    found = complain(
        f"cases: [{{id: a, input: !!python/object/apply:os.mkdir [{tmp_path / 'made'}]}}]\n"
    )
    assert "tags (!!python/object/apply:os.mkdir) are not allowed" in found[0]
    assert not (tmp_path / "made").exists()


def test_only_one_rule_can_be_primary(complain: Callable[..., list[str]]) -> None:
    rule = "  - {metric: m, max_drop: 0, primary: true}\n"
    (found,) = complain(f"gate:\n{rule}{rule}cases: [{{id: a, input: x}}]\n")
    assert "gate: a second rule is primary; the first is in line 2." in found
