"""YAML that means the same to everyone is read as it looks; any other is refused with its line."""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit.core.location import Location, Problem
from evalkit.evalset import written_out, yaml_tree
from evalkit.evalset import yaml as yamlio
from evalkit.evalset.nodes import (
    MAX_DEPTH,
    MAX_PROBLEMS,
    ListNode,
    MappingNode,
    Scalar,
    to_plain_value,
)
from evalkit.evalset.yaml import parse_yaml

NO_SURROGATES = st.characters(exclude_categories=["Cs"])
# PyYAML may write the line breaks that only YAML 1.1 knows as they are.
TEXTS = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\x85\u2028\u2029"), max_size=40
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**30), 10**30) | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)


@pytest.fixture(params=["libyaml", "pure Python"], autouse=True)
def loader(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything here holds for both parsers of PyYAML."""
    if request.param == "pure Python":
        monkeypatch.setattr(yamlio, "LOADER", yaml.SafeLoader)
    elif not yaml.__with_libyaml__:
        pytest.skip("PyYAML was built without libyaml")


def load(content: str | bytes) -> Any:
    """The value of YAML that has no problems."""
    problems: list[Problem] = []
    data = content if isinstance(content, bytes) else content.encode()
    node = parse_yaml(data, "x.yaml", problems)
    assert not problems
    return None if node is None else to_plain_value(node)


def complaints(content: str | bytes) -> list[str]:
    """What is wrong, each with its line."""
    problems: list[Problem] = []
    parse_yaml(content if isinstance(content, bytes) else content.encode(), "x.yaml", problems)
    return [str(problem) for problem in problems]


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("true", True),
        ("false", False),
        ("0", 0),
        ("-12", -12),
        ("9" * 100, 10**100 - 1),
        ("1.5", 1.5),
        ("-0.50", -0.5),
        ("null", None),
        ("~", None),
        ("", None),
    ],
)
def test_what_looks_like_a_number_a_truth_or_nothing_is_one(written: str, value: object) -> None:
    found = load(f"key: {written}\n")["key"]
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    "written",
    [
        "no",
        "yes",
        "on",
        "off",
        "True",
        "FALSE",
        "Null",
        "NULL",
        "y",
        "N",
        "0123",
        "012",
        "1_000",
        "+1",
        ".5",
        "5.",
        "1e3",
        "1.0e3",
        "0x1F",
        "0o17",
        "0b1",
        "1:30",
        "190:20:30",
        "2024-01-01",
        "2024-01-01T10:00:00Z",
        ".nan",
        ".inf",
        "-.inf",
        "NaN",
        "Infinity",
        "=",
        "<<",
        "'12'",
        '"true"',
        "'null'",
        "--",
        "1,000",
        "1.2.3",
        "½",
        "١٢",
    ],
)
def test_everything_else_is_the_text_that_is_written(written: str) -> None:
    assert load(f"key: {written}\n")["key"] == written.strip("'\"")


def test_text_keeps_its_spaces_lines_and_escapes() -> None:
    content = (
        'a: |\n  one\n\n    two \nb: >-\n  one\n  two\nc: "\\0 \\e \\u2028 \\U0001F600"\nd: ""\n'
    )
    assert load(content) == {
        "a": "one\n\n  two \n",
        "b": "one two",
        "c": "\0 \x1b \u2028 😀",
        "d": "",
    }


@given(value=VALUES)
@settings(max_examples=60, deadline=None)
def test_what_a_yaml_library_writes_is_read_as_it_was(value: object) -> None:
    assert load(yaml.safe_dump({"key": value}, allow_unicode=True))["key"] == value


@given(text=st.text(NO_SURROGATES))
@settings(max_examples=60, deadline=None)
def test_any_text_at_all_gives_a_tree_or_problems_with_a_line(text: str) -> None:
    problems: list[Problem] = []
    node = parse_yaml(text.encode(), "x.yaml", problems)
    if node is None and not problems:
        assert yaml.compose(text, Loader=yaml.SafeLoader) is None
    assert all(problem.where and problem.where.path == "x.yaml" for problem in problems)


@given(data=st.binary(max_size=60))
@settings(max_examples=60, deadline=None)
def test_any_bytes_at_all_give_a_tree_or_problems(data: bytes) -> None:
    complaints(data)


def test_every_node_knows_its_line_and_column() -> None:
    node = parse_yaml(b"# first\na: x\nb:\n  - y\n  -  c: 1.50\n", "x.yaml", [])
    assert isinstance(node, MappingNode)
    assert node.where == Location(path="x.yaml", line=2, column=1)
    assert node.members["b"].where == Location(path="x.yaml", line=3, column=1)
    items = node.members["b"].node
    assert isinstance(items, ListNode)
    assert items.items[0].where == Location(path="x.yaml", line=4, column=5)
    inner = items.items[1]
    assert isinstance(inner, MappingNode)
    assert inner.members["c"].node == Scalar(
        kind="decimal", text="1.50", where=Location(path="x.yaml", line=5, column=9)
    )


REFUSED = {
    "a: 1\nb: 2\na: 3\n": ["x.yaml:3: duplicate key 'a' at 3:1; the first is at 1:1. Keep one."],
    "a: {'1': x, 1: y}\n": ["x.yaml:1: duplicate key '1' at 1:13; the first is at 1:5. Keep one."],
    "a: *x\n": ["x.yaml:1: alias *x has no anchor &x above it. Add one."],
    "a: &x [*x]\n": ["x.yaml:1: alias *x is inside of its own anchor &x, so it never ends."],
    "a: &x {<<: *x}\n": ["x.yaml:1: alias *x is inside of its own anchor &x, so it never ends."],
    "a: &x 1\nb: &x 2\n": ["x.yaml:2: a second anchor &x; the first is at 1:4."],
    "a: &x 1\nb: {<<: *x}\n": ["x.yaml:2: `<<` takes the keys of a mapping or of a list of"],
    "a: &x {}\nb:\n  <<: [*x, *x]\n": ["x.yaml:3: `<<` names a mapping twice. Keep one."],
    "a: {<<: {b: 1}, <<: {c: 1}}\n": ["x.yaml:1: duplicate key '<<' at 1:17; the first is at 1:5."],
    "a: !!python/object/apply:os.system ['touch executed']\n": [
        "x.yaml:1: tags (!!python/object/apply:os.system) are not allowed"
    ],
    "a: !!str 12\nb: !own x\n": ["x.yaml:1: tags (!!str)", "x.yaml:2: tags (!own)"],
    "? [a]\n: b\n": ["x.yaml:1: a key must be text"],
    "a: 1\n---\nb: 2\n": ["x.yaml:2: a second document begins"],
    "a:\n\tb: 1\n": ["x.yaml:2: a tab cannot indent YAML; use spaces."],
    "a: b\n\tc: 1\n": ["x.yaml:2: a tab cannot indent YAML; use spaces."],
    "a: |\n\tb\n": ["x.yaml:2: a tab cannot indent YAML; use spaces."],
    "-\tb: 1\n": ["x.yaml:1: a tab cannot indent YAML; use spaces."],
    "a: b: c\n": ["x.yaml:1: not valid YAML: mapping values are not allowed"],
    "a: \0\n": [
        'x.yaml:1: YAML does not allow the character U+0000 unescaped. Write it as "\\x00"'
    ],
    "a: b\n  \x85c\nd: \ufffe": [
        "x.yaml:2: YAML does not allow the character U+0085",
        "x.yaml:3: YAML does not allow the character U+FFFE",
    ],
    f"a: {'9' * 5000}\n": ["x.yaml:1: a number of 5,000 digits; at most 100 are allowed"],
    f"a: {'9' * 60}.{'9' * 60}\n": ["x.yaml:1: a number of 121 digits; at most 100 are allowed"],
}


@pytest.mark.parametrize(("content", "wanted"), REFUSED.items())
def test_what_two_readers_could_understand_differently_is_refused(
    content: str, wanted: list[str]
) -> None:
    found = complaints(content)
    assert len(found) == len(wanted), found
    for complaint, words in zip(found, wanted, strict=True):
        assert complaint.startswith(words)


def test_reading_goes_on_after_a_problem() -> None:
    found = complaints("a: *x\na: 2\nb: !!int 3\n<<: 4\nc: *x\n? {d: e}\n: 5\nf: 'g\n")
    lines = [int(complaint.split(":")[1]) for complaint in found]
    assert lines[:6] == [1, 2, 3, 4, 5, 6]
    assert "not valid YAML" in found[6]


ENCODED = "größe: a\n"


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (ENCODED.encode("utf-16"), "x.yaml: the file is UTF-16. Save it as UTF-8."),
        (ENCODED.encode("utf-16-le"), "x.yaml: the file is UTF-16. Save it as UTF-8."),
        (ENCODED.encode("utf-16-be"), "x.yaml: the file is UTF-16. Save it as UTF-8."),
        (ENCODED.encode("utf-32"), "x.yaml: the file is UTF-32. Save it as UTF-8."),
        (ENCODED.encode("utf-32-le"), "x.yaml: the file is UTF-32. Save it as UTF-8."),
        (
            f"a: é\n{ENCODED}".encode()[:-3] + b"\xe9\n",
            "x.yaml:2: the file is not UTF-8: byte 0xe9 in column 7; perhaps it is Latin-1",
        ),
        (ENCODED.encode("latin-1"), "x.yaml:1: the file is not UTF-8: byte 0xf6 in column 3"),
        (b"a: \xed\xa0\x80\n", "x.yaml:1: the file is not UTF-8: byte 0xed"),
    ],
)
def test_another_encoding_is_named(data: bytes, words: str) -> None:
    (found,) = complaints(data)
    assert found.startswith(words)


def test_a_byte_order_mark_and_windows_line_ends_change_nothing() -> None:
    content = "a: größe\nb: |\n  one\n  two\n"
    assert load(b"\xef\xbb\xbf" + content.replace("\n", "\r\n").encode()) == load(content)
    (found,) = complaints(b"\xef\xbb\xbfa: 1\r\na: 2\r\n")
    assert found.startswith("x.yaml:2: duplicate key 'a' at 2:1; the first is at 1:1.")


@pytest.mark.parametrize("content", ["", "# only a comment\n", "---\n...\n", "\n\n", "\ufeff"])
def test_a_file_without_content_is_no_problem(content: str) -> None:
    assert load(content) is None


def nest(opening: str, levels: int) -> str:
    return "a: " + opening * levels + "\n" if "[" in opening or "{" in opening else opening * levels


@pytest.mark.parametrize("opening", ["[", "{a: ", "- ", "? "])
def test_deep_nesting_is_refused_before_it_costs_anything(opening: str) -> None:
    started = time.process_time()
    (found,) = complaints(nest(opening, 10_000))
    assert "nested more than 64 levels deep" in found
    assert time.process_time() - started < 1


def test_the_documented_depth_is_allowed() -> None:
    assert load("[" * MAX_DEPTH + "]" * MAX_DEPTH) is not None


ALIAS_BOMB = "a0: &a0 [x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 10)
)
MERGE_BOMB = "m0: &m0 {a: 1}\n" + "".join(
    f"m{n}: &m{n} {{<<: [*m{n - 1}, *m{n - 1}]}}\n" for n in range(1, 15)
)


DEEP_BOMB = "".join(f"- &a{n} [{f'*a{n - 1}' if n else ''}]\n" for n in range(100))
WIDE_BOMB = f"a: &a [{', '.join('x' * 2_000)}]\nb: [{', '.join(['*a'] * 2_000)}]\n"
TEXT_BOMB = f"a: &a {'x' * 2**20}\nb: [{', '.join(['*a'] * 100)}]\n"
BOMBS = {
    "aliases": ALIAS_BOMB,
    "merge keys": MERGE_BOMB,
    "merge keys without repetition": MERGE_BOMB.replace("{<<: [", "{<<: [{b: 1}, {c: *m0}], k: ["),
    "levels": DEEP_BOMB,
    "long list": WIDE_BOMB,
    "long text": TEXT_BOMB,
    "itself": "a: &a [*a]\n",
}


@pytest.mark.parametrize("bomb", BOMBS.values(), ids=BOMBS)
def test_bombs_are_refused_in_no_time_and_memory(bomb: str) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.process_time()
    found = complaints(bomb)
    assert found
    assert time.process_time() - started < 1
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000  # kB


def test_aliases_and_merge_keys_are_read_as_if_written_out() -> None:
    content = """
x-defaults: &defaults {tags: [a, b], n: &n 1}
base: &base {n: 2, &k key: v}
all:
  - {<<: *defaults, id: 1}
  - {id: 2, n: 3, <<: [*base, *defaults]}
  - {<<: {inline: *n}, *k : *defaults}
  - {"<<": text, <<: []}
"""
    assert load(content)["all"] == [
        {"tags": ["a", "b"], "n": 1, "id": 1},
        {"n": 3, "key": "v", "tags": ["a", "b"], "id": 2},
        {"inline": 1, "key": {"tags": ["a", "b"], "n": 1}},
        {"<<": "text"},
    ]


@given(value=st.lists(st.shared(VALUES, key="one") | VALUES, min_size=2, max_size=4))
@settings(max_examples=40, deadline=None)
def test_aliases_that_a_yaml_library_writes_are_read_as_it_was(value: list[object]) -> None:
    # PyYAML writes an anchor wherever one object occurs twice.
    assert load(yaml.safe_dump([value, value, value[0]])) == [value, value, value[0]]


def test_as_many_cases_as_documented_can_share_values() -> None:
    shared = "x-shared: &shared {tags: [a, b, c], metadata: {k: [1, 2, 3, 4, 5]}}\n"
    cases = "".join(f"- {{<<: *shared, id: {n}}}\n" for n in range(3_000))
    assert len(load(f"{shared}cases:\n{cases}")["cases"]) == 3_000


def test_problems_with_shared_values_name_where_they_are_written_or_used() -> None:
    node = parse_yaml(b"x-a: &a 1\nx-b: &b\n  c: d\ne: *a\nf: *b\n", "x.yaml", [])
    assert isinstance(node, MappingNode)
    assert str(node.members["e"].node.where) == "x.yaml:4"
    assert str(node.members["f"].node.where) == "x.yaml:2"
    assert node.shared_keys == {"x-a", "x-b"}


def test_a_flood_of_problems_is_cut() -> None:
    found = complaints("".join(f"- *a{n}\n" for n in range(10_000)))
    assert len(found) == MAX_PROBLEMS + 1
    assert found[-1].startswith(f"x.yaml:{MAX_PROBLEMS}: too many problems")
    assert len(complaints("\x01" * 10_000)) == MAX_PROBLEMS


def test_text_and_values_without_end_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yaml_tree, "MAX_TEXT", 10)
    monkeypatch.setattr(written_out, "MAX_NODES", 10)
    assert load("a: 0123456789") == {"a": "0123456789"}
    (found,) = complaints("b: 1\na: 0123456789x\n")
    assert found == "x.yaml:2: text of 11 characters; at most 10 are allowed."
    (found,) = complaints("- a\n" * 11)
    assert found == "x.yaml:10: the file has more than 10 values. Split it."


def test_pyyaml_without_libyaml_is_enough() -> None:
    code = (
        "import sys, yaml; del yaml.CSafeLoader; from evalkit.evalset import yaml as yamlio;"
        "assert yamlio.LOADER is yaml.SafeLoader; assert yamlio.parse_yaml(b'a: 1', 'x', [])"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
