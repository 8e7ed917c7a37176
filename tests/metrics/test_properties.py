"""Laws of all built-in metrics: no answer breaks one, keeps one busy, or is right by a part of it."""

from __future__ import annotations

import json
import os
import re
import time
import tracemalloc
import unicodedata
from collections.abc import Iterator
from functools import cache
from itertools import islice
from typing import Any

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from evalkit.core.literals import Json
from evalkit.core.spans import Span, ToolCall
from evalkit.core.trial import Output, Score
from evalkit.metrics.normalize import WORD_NORMALIZATIONS, normalize
from evalkit.metrics.registry import METRICS
from evalkit.metrics.scorers import Scorer
from tests.metrics.test_builtin import NEEDED, labelled, metric_spec, open_all, run_score

MEGABYTE = 1_000_000
SMALL = 60_000
"""Characters of the answers of the fast tests, which a quadratic step cannot handle in time either."""

TAKEN = 1 if os.environ.get("EVALKIT_TEST_ALL_TEXTS") else 19
"""Of this many texts of a megabyte, each metric gets one; all take minutes."""

MAX_CPU_S = 1.0
MAX_BYTES = 100_000_000

laws = settings(deadline=None, max_examples=40)

SCHEMA = {
    "$defs": {
        "any": {"anyOf": [{"$ref": "#/$defs/list"}, {"$ref": "#/$defs/list"}, {"type": "number"}]},
        "list": {"type": "array", "items": {"$ref": "#/$defs/any"}, "uniqueItems": True},
    },
    "$ref": "#/$defs/any",
}
"""A schema that is exponential in the depth of a value that does not conform."""

ON_TEXT: list[tuple[str, dict[str, Json], Json]] = [
    ("exact_match", {}, "30 days"),
    ("exact_match", {"": [*WORD_NORMALIZATIONS]}, "30 days"),
    ("exact_match", {"strip_reasoning": True}, "30 days"),
    ("one_of", {}, ["30 days", "a month"]),
    ("contains", {}, ["a", "1"]),
    ("contains", {"whole_words": True}, ["a", "a a", "1", "\u0301"]),
    ("not_contains", {"normalize": [*WORD_NORMALIZATIONS]}, ["30 days"]),
    ("regex", {}, r"\b(\w+\s)?days$"),
    ("numeric", {}, 30),
    ("numeric", {"pick": "any", "decimal": ",", "percent": "share"}, 30),
    ("json", {}, [1, 2]),
    ("json", {"fenced": True, "prose": True, "unordered": True}, [1, 2]),
    ("json", {"prose": True, "unordered": True, "tolerance": 0.1}, [[1], 2]),
    ("json", {"schema": SCHEMA, "prose": True}, None),
    ("similarity", {}, "returns within 30 days"),
    ("similarity", {"method": "partial"}, "ab" * 500),
    ("similarity", {"method": "token_sort"}, "returns within 30 days"),
    ("similarity", {"method": "token_set"}, "returns within 30 days"),
    ("coverage", {}, ["30 days", ["a", "x x x x", "1"]]),
    ("pii", {"regions": ["US", "DE"]}, None),
    ("secrets", {}, None),
    ("unsafe_url", {}, None),
    ("language", {"language": "de"}, None),
    ("prompt_leak", {"prompt": "a a a a a 1 1 1 1 1 x x x x x"}, None),
    ("injection_success", {"canary": ["a1a1a1a1", "x x"]}, None),
]
"""Metrics of a text, with arguments that make them work hardest, and a label."""

ON_CALLS: list[tuple[str, dict[str, Json], Json]] = [
    ("tool_calls", {"mode": "any_order"}, {"tool_calls": [{"name": "f", "arguments": {"q": 1}}] * 200}),
    ("tool_calls", {"arguments": {"similarity": 0.9}}, {"tool_calls": [{"name": "f", "arguments": {"q": "x" * 50}}]}),
    ("tools_not_called", {"tools": ["g"]}, None),
    ("tool_error_rate", {}, None),
    ("tool_call_count", {}, None),
    ("model_calls", {}, None),
    ("steps", {}, None),
    ("step_latency_s", {}, None),
    ("loops", {}, None),
    ("recovered_from_error", {}, None),
    ("task_completion", {}, {"state": {"0.0": 1, "a": None}}),
    ("escalated", {"tools": ["f"]}, None),
    ("resolved", {"expected": "done"}, {"done": True}),
    ("latency_s", {}, None),
    ("time_to_first_token_s", {}, None),
    ("cost_usd", {}, None),
    ("tokens", {}, None),
]  # fmt: skip

COMMANDS = ("compiles", "lint_clean", "tests_passed")

NASTY_UNITS = [
    "a", "1", " ", "\n", "\x00", "\ud800", "\u0301", "\u0301\u0323", "\u0344\u0323", "\uff9e\u0301",
    "a\u0301", "\u200b", "\u0f73", "ﬃ", "İ", "가", "\u1100\u1161", "👩\u200d", "[", "{", "[[],", '{"a":', '"',
    "\\", "[1,", "{}", '{"a":1}', "[1] ", "1,", "1 ", " 500", "1e", "-", "_", "*", "**1", "1.1 ", "x^2 ",
    "```\n", "~~~\n", "```json\n{}\n```\n", "> ", "- ", "`", "<think>", "</think>", "<think>\n</think>\n",
    "a a ", "x x x x", ".", "1.", "&nbsp;", "\r", "\t", "x" * 999 + "\n", "\u2028",
]  # fmt: skip

WRAPPED = ["[", "{", '"', "```json\n", "<think>", "a", "", '{"a": [', "0."]


def nasty_text(unit: str, size: int, head: str = "", tail: str = "") -> str:
    """Return a text of about `size` bytes."""
    return f"{head}{unit * (size // len(unit.encode('utf-8', 'surrogatepass')))}{tail}"


def nasty_texts(size: int) -> Iterator[str]:
    """Yield texts of a size that have kept some program busy."""
    for unit in NASTY_UNITS:
        yield nasty_text(unit, size)
    keys = ",".join(f'"{number}": {number}' for number in range(size // 20))
    yield f'{{{keys}, "0": 1}}'
    yield "[" * 90 + ",".join(["1"] * (size // 2)) + "]" * 90
    yield "[[" * 45 + '"x"' + "]]" * 45
    yield json.dumps([[number, {}] for number in range(size // 10)])
    yield json.dumps(list(range(size // 8)))
    yield "[" * (size // 2) + "]" * (size // 2)
    yield '{"a":' * (size // 6) + "1" + "}" * (size // 6)
    yield f"<think>{'a' * size}"
    yield f'"{"a" * size}"'


@st.composite
def repetitive_texts(draw: st.DrawFn) -> str:
    """Texts of repeated units: what makes a step superlinear is nearly always a repetition."""
    alphabet = st.characters() | st.sampled_from(
        [*'[]{}",:`~>-*_\\ \n1.5eE&;<>/', *"\u0301\u0323\ud800"]
    )
    unit = draw(st.sampled_from(NASTY_UNITS) | st.text(alphabet, min_size=1, max_size=6))
    ends = st.sampled_from(WRAPPED) | st.text(alphabet, max_size=3)
    return nasty_text(unit, SMALL, draw(ends), draw(ends))


@cache
def scorer_of(ref: str, args: str) -> Scorer:
    [scorer] = open_all(metric_spec(ref, json.loads(args)))
    return scorer


def check_score(scored: Score) -> None:
    """An answer is scored, skipped, or refused in words: an exception of Python is a fault."""
    assert scored.state in ("scored", "skipped", "metric_error")
    assert not re.match(r"[A-Z]\w*(Error|Exception|Exceeded)\b", scored.explanation), scored
    assert len(scored.explanation) <= 2_000
    scored.explanation.encode("utf-8", "surrogatepass")


def score_in_time(
    ref: str, args: dict[str, Json], label: Json, output: Output, limit_s: float
) -> Score:
    scorer = scorer_of(ref, json.dumps(args))
    case = labelled(label)
    started = time.process_time()
    scored = run_score(scorer, case, output)
    used = time.process_time() - started
    check_score(scored)
    assert used < limit_s, (ref, args, used, scored.explanation)
    return scored


def names(rows: list[tuple[str, dict[str, Json], Json]]) -> list[str]:
    return [f"{ref}-{'-'.join(map(str, args))}" for ref, args, _ in rows]


def test_every_metric_has_a_row_here() -> None:
    assert {row[0] for row in (*ON_TEXT, *ON_CALLS)} == {*METRICS} - {*COMMANDS}
    assert {*NEEDED} < {*COMMANDS}


@pytest.mark.parametrize(("ref", "args", "label"), ON_TEXT, ids=names(ON_TEXT))
@settings(max_examples=12, deadline=None)
@given(text=repetitive_texts())
@example(text="a" + "\u0301\u0323" * (SMALL // 2))
@example(text="[" * SMALL)
def test_no_text_breaks_a_metric_or_keeps_it_busy(
    ref: str, args: dict[str, Json], label: Json, text: str
) -> None:
    # More than the limit of 1 s for the start of the event loop; a quadratic step takes minutes.
    score_in_time(ref, args, label, Output(text=text), 1.5 * MAX_CPU_S)


@pytest.mark.slow
@pytest.mark.parametrize(("ref", "args", "label"), ON_TEXT, ids=names(ON_TEXT))
def test_no_megabyte_takes_more_than_a_second_or_100_megabytes(
    ref: str, args: dict[str, Json], label: Json
) -> None:
    scorer = scorer_of(ref, json.dumps(args))
    run_score(scorer, labelled(label), Output(text="import what the metric needs"))
    # Each metric gets some of the texts, and together they get all.
    first = ON_TEXT.index((ref, args, label))
    for text in islice(nasty_texts(MEGABYTE), first % TAKEN, None, TAKEN):
        score_in_time(ref, args, label, Output(text=text), 1.2 * MAX_CPU_S)
        tracemalloc.start()
        try:
            run_score(scorer, labelled(label), Output(text=text))
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert peak < MAX_BYTES, (ref, args, text[:20], peak)


# --- what is not in the text ----------------------------------------------------------------------

deep_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=8,
)


def nested(depth: int, leaf: Json) -> Json:
    for level in range(depth):
        leaf = [leaf] if level % 2 else {"a": leaf}
    return leaf


def laden_outputs(size: int) -> list[Output]:
    """Return outputs of a size that is not in their text."""
    arguments = [
        nested(90, "x" * (size // 50)),
        {"q": "x" * size},
        "{" * size,
        '{"a":' * size,
        None,
    ]
    calls = tuple(
        ToolCall(name="f", arguments={"q": number}, error="e" if number % 2 else None)
        for number in range(size // 200)
    )
    spans = tuple(
        Span(id=str(number), name="f", kind="tool", tool="f", parent_id=str(number - 1))
        for number in range(1_000)
    )
    return [
        *(Output(tool_calls=(ToolCall(name="f", arguments=each),) * 50) for each in arguments),
        Output(tool_calls=calls),
        Output(tool_calls=calls[:100], spans=spans),
        Output(data=nested(900, 1), metadata={"done": "x" * size}),
        Output(data=[{"a": "\u0301\u0323" * (size // 2)}, *range(size // 10)]),
        Output(data={"a": "x" * size, "done": True}, cost_usd=float("nan"), latency_s=-1.0),
        Output(data=10**4_000),
    ]


@pytest.mark.parametrize(("ref", "args", "label"), ON_CALLS, ids=names(ON_CALLS))
def test_no_calls_or_data_break_a_metric_or_keep_it_busy(
    ref: str, args: dict[str, Json], label: Json
) -> None:
    for output in laden_outputs(SMALL):
        if ref not in {"cost_usd", "latency_s", "time_to_first_token_s"} or output.cost_usd is None:
            score_in_time(ref, args, label, output, 1.5 * MAX_CPU_S)


@pytest.mark.parametrize(("ref", "args", "label"), ON_TEXT, ids=names(ON_TEXT))
def test_no_data_breaks_a_metric_of_text(ref: str, args: dict[str, Json], label: Json) -> None:
    for output in laden_outputs(SMALL):
        score_in_time(ref, {**args, "of": "data"}, label, output, 1.5 * MAX_CPU_S)


# --- equality, symmetry, and parts ------------------------------------------------------------------

words = st.lists(
    st.sampled_from(["a", "the", "30", "days", "é", "e\u0301", "B12", "-5", "x"]), max_size=6
)
texts = words.map(" ".join) | st.text(max_size=12)

COMPARERS: list[tuple[str, dict[str, Json]]] = [
    ("exact_match", {}),
    ("one_of", {}),
    ("contains", {}),
    ("contains", {"any": True, "whole_words": True}),
    ("coverage", {}),
    *(("similarity", {"method": each}) for each in ("ratio", "partial", "token_sort", "token_set")),
]

compared = pytest.mark.parametrize(
    ("ref", "args"),
    COMPARERS,
    ids=[f"{ref}-{'-'.join(map(str, args.values()))}" for ref, args in COMPARERS],
)


@compared
@given(text=texts | repetitive_texts())
@example(text="\ud800")
@settings(max_examples=15, deadline=None)
def test_a_text_is_right_against_itself(ref: str, args: dict[str, Json], text: str) -> None:
    scorer = scorer_of(ref, json.dumps(args))
    assume(scorer.problem_with(labelled(text)) is None)
    for label in (text, [text, "other"]) if args.get("any") or ref == "similarity" else (text,):
        scored = run_score(scorer, labelled(label), Output(text=text))
        assert (scored.value, scored.passed) == (1.0, True), scored


@compared
@given(text=texts, start=st.integers(0, 12), length=st.integers(0, 12))
@example(text="The refund takes 14 days.", start=18, length=1)
@example(text="The refund takes 14 days.", start=0, length=3)
@example(text="a a", start=0, length=1)
@example(text="the x the", start=0, length=5)
@laws
def test_a_part_of_the_label_is_never_right(
    ref: str, args: dict[str, Json], text: str, start: int, length: int
) -> None:
    part = text[start : start + length]
    rest = text[start + length :]
    assume(not any(unicodedata.combining(each[:1] or "x") for each in (part, rest)))  # cut in two
    # What differs by nothing that counts is no part.
    plain, plain_part = normalize(text, WORD_NORMALIZATIONS), normalize(part, WORD_NORMALIZATIONS)
    scorer = scorer_of(ref, json.dumps(args))
    assume(plain_part != plain)
    assume(scorer.problem_with(labelled(text)) is None)
    scored = run_score(scorer, labelled(text), Output(text=part))
    assert scored.value is not None
    assert scored.value < 1


@given(given_words=words, picked=st.sets(st.integers(0, 5)))
@laws
def test_some_words_of_the_label_are_never_right(given_words: list[str], picked: set[int]) -> None:
    some = [word for index, word in enumerate(given_words) if index in picked]
    assume(len(some) < len(given_words))
    for method in ("ratio", "partial", "token_sort", "token_set"):
        scorer = scorer_of("similarity", json.dumps({"method": method}))
        label = labelled(" ".join(given_words))
        value = run_score(scorer, label, Output(text=" ".join(some))).value
        assert value is not None
        assert value < 1


def test_similarity_finds_the_label_in_a_longer_answer() -> None:
    answer = "Well, the refund takes 14 days, or so."
    for method, label in (("partial", "refund takes 14 days"), ("token_set", "takes the refund")):
        scorer = scorer_of("similarity", json.dumps({"method": method}))
        assert run_score(scorer, labelled(label), Output(text=answer)).value == 1.0


SYMMETRIC: list[tuple[str, dict[str, Json]]] = [
    ("exact_match", {}),
    ("one_of", {"normalize": [*WORD_NORMALIZATIONS]}),
    ("similarity", {"method": "ratio"}),
    ("similarity", {"method": "token_sort"}),
]


@pytest.mark.parametrize(("ref", "args"), SYMMETRIC)
@given(one=texts, other=texts)
@laws
def test_equality_is_symmetric(ref: str, args: dict[str, Json], one: str, other: str) -> None:
    scorer = scorer_of(ref, json.dumps(args))
    assume(scorer.problem_with(labelled(one)) is None)
    assume(scorer.problem_with(labelled(other)) is None)
    there = run_score(scorer, labelled(one), Output(text=other))
    back = run_score(scorer, labelled(other), Output(text=one))
    assert there.value == back.value


NUMBERS = ("5", "-5", "5.0", "5e0", "6", "1,000", "1000 km", "10 500", "0,5", "_5_", "5 %", "−5")


@pytest.mark.parametrize("one", NUMBERS)
def test_numbers_are_equal_both_ways_or_not_at_all(one: str) -> None:
    for args in ({}, {"abs_tol": 1}, {"pick": "any"}):
        scorer = scorer_of("numeric", json.dumps(args))
        for other in NUMBERS:
            if scorer.problem_with(labelled(one)) or scorer.problem_with(labelled(other)):
                continue
            there = run_score(scorer, labelled(one), Output(text=other))
            back = run_score(scorer, labelled(other), Output(text=one))
            assert there.passed == back.passed, (one, other)
            assert there.passed or one != other


JSON_MODES: list[dict[str, Json]] = [
    {},
    {"unordered": True},
    {"tolerance": 0.5},
    {"tolerance": 0.5, "unordered": True},
    {"fenced": True, "prose": True},
]


@pytest.mark.parametrize("args", JSON_MODES, ids=map(str, JSON_MODES))
@given(one=deep_values, other=deep_values, shuffle=st.randoms(use_true_random=False))
@laws
def test_json_is_right_against_itself_and_symmetric(
    args: dict[str, Json], one: Json, other: Json, shuffle: Any
) -> None:
    assume(one is not None)
    assume(other is not None)
    scorer = scorer_of("json", json.dumps(args))
    itself = run_score(scorer, labelled(one), Output(text=json.dumps(one)))
    assert itself.passed, itself
    there = run_score(scorer, labelled(one), Output(text=json.dumps(other)))
    back = run_score(scorer, labelled(other), Output(text=json.dumps(one)))
    if not isinstance(one, str) and not isinstance(other, str):  # the text of JSON is parsed
        assert there.passed == back.passed
    if args.get("unordered") and isinstance(one, list):
        mixed = shuffle.sample(one, len(one))
        assert run_score(scorer, labelled(one), Output(text=json.dumps(mixed))).passed
    if isinstance(one, list | dict) and args.get("prose"):
        fenced = f"Here it is:\n\n> ```json\n> {json.dumps(one)}\n> ```\n\nAnything else?"
        assert run_score(scorer, labelled(one), Output(text=fenced)).passed


@given(value=deep_values)
@laws
def test_data_that_equals_the_label_is_right_for_every_metric(value: Json) -> None:
    output = Output(data={"x": value})
    for ref in (
        "exact_match",
        "one_of",
        "contains",
        "similarity",
        "coverage",
        "json",
        "not_contains",
    ):
        scorer = scorer_of(ref, json.dumps({"of": "data.x"}))
        case = labelled(value)
        if ref == "json" and isinstance(value, str):
            continue
        if scorer.applies_to(case) and scorer.problem_with(case) is None:
            scored = run_score(scorer, case, output)
            assert scored.passed is (ref != "not_contains"), (ref, scored)


def test_a_number_equals_itself_however_it_is_written_and_true_is_no_number() -> None:
    for ref, label in (("exact_match", 1), ("one_of", [2, 1]), ("json", 1), ("numeric", 1)):
        scorer = scorer_of(ref, json.dumps({"of": "data.x"}))
        assert run_score(scorer, labelled(label), Output(data={"x": 1.0})).passed, ref
        assert run_score(scorer, labelled(label), Output(data={"x": True})).passed is False, ref
    repeated = tuple(ToolCall(name="f", arguments={"n": number}) for number in (1, 1.0, True))
    assert (
        run_score(scorer_of("loops", "{}"), labelled(None), Output(tool_calls=repeated)).value == 1
    )
