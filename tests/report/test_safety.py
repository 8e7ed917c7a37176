"""Whatever an agent, a file or a plugin says, no report lets it act: every text of a report is poisoned."""

from __future__ import annotations

import dataclasses
import functools
import json
import re
import types
import typing
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, TypeVar
from xml.etree import ElementTree as ET

import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token

from evalkit.report.batch_document import render_batch_json
from evalkit.report.batch_markdown import render_batch_markdown
from evalkit.report.batch_terminal import render_batch, render_part
from evalkit.report.batch_tests import render_batch_junit
from evalkit.report.case import case_json, case_text
from evalkit.report.case_status import case_results
from evalkit.report.diff import diff_json, diff_markdown
from evalkit.report.diff_text import diff_text
from evalkit.report.json import render_json
from evalkit.report.junit import render_junit
from evalkit.report.markdown import SUMMARY_LIMIT, render_markdown
from evalkit.report.matrix import matrix_json, matrix_markdown
from evalkit.report.matrix_text import matrix_text
from evalkit.report.model import Report
from evalkit.report.screen import Screen
from evalkit.report.terminal import render_terminal
from tests.support.report_samples import (
    failing_report,
    shown_batch,
    shown_case,
    shown_diff,
    shown_matrix,
)

NAUGHTY = {
    "ansi": "\x1b[31mred\x1b[0m\x1b[2J",
    "hyperlink": "\x1b]8;;http://evil.example\x07click\x1b]8;;\x07",
    "clipboard": "\x1b]52;c;ZXZpbA==\x07",
    "c1": "\x9b31m\x9d0;title\x9c",
    "nul and del": "nul\x00del\x7f",
    "bidi": "\u202egnp.exe\u2066\u2069\u200f",
    "invisible": "pass\u200bed\ufeff\u2060\U000e0041",
    "line separators": "one\u2028two\u2029three\x85four\x0bfive\x0csix",
    "newlines": "one\ntwo\r\nthree\rfour",
    "github error": "::error::forged",
    "github error after a newline": "x\n::error file=a.py,line=1::forged",
    "github mask": "  ::add-mask::secret",
    "github group": "##[error]forged ##[group]x",
    "azure": "##vso[task.complete result=Succeeded]",
    "backticks": "``` `` ` ````",
    "fence": "\n```\n# heading\n~~~\n",
    "html": "<script>alert(1)</script></details><!--",
    "link": "[x](javascript:alert(1)) ![i](http://evil.example/a.png) <http://evil.example>",
    "mention": "@everyone #1 GH-2 www.evil.example https://evil.example a@b.example",
    "table": "a | b \\| c || d\n| --- | --- |",
    "heading": "# one\n===\n---\n> quote\n- item\n1. item",
    "emphasis": "**a** __b__ *c* _d_ ~~e~~ \\",
    "formula": "=cmd|'/C calc'!A0",
    "formula in full width": "＝1+1",
    "cdata": "]]>&amp;<![CDATA[",
    "not xml": "\ufffe\uffff\x01",
    "surrogates": "\ud800 half \udfff",
    "template": "{{env.X}} {0.__class__} %s $(id) ${{ secrets.X }}",
    "rich markup": "[bold red]x[/bold] [/] :boom:",
    "marks": "e" + "\u0301" * 400,
    "wide": "日本語" * 40,
    "blank": "   ",
    "quotes": "\"'`",
}
HARMLESS = "x"

Record = TypeVar("Record")


def _poison_json(value: Any, change: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return change(value)
    if isinstance(value, Mapping):
        return {change(key): _poison_json(item, change) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_poison_json(item, change) for item in value)
    return value


def _poison_value(value: Any, kind: Any, change: Callable[[str], str]) -> Any:
    """Change every text in a value of a declared kind; words of a closed list stay."""
    arguments = typing.get_args(kind)
    if typing.get_origin(kind) is typing.Literal:
        return value
    if typing.get_origin(kind) in (types.UnionType, typing.Union):
        (kind, *_) = [part for part in arguments if _holds(value, part)]
        return _poison_value(value, kind, change)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return poison(value, change)
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*map(change, value))
    if isinstance(value, tuple):
        item = arguments[0] if arguments else Any
        return tuple(_poison_value(part, item, change) for part in value)
    if arguments and typing.get_origin(arguments[0]) is typing.Literal:
        return value  # a mapping whose keys are such words, and whose values are counts
    return _poison_json(value, change)


def _holds(value: Any, kind: Any) -> bool:
    origin = typing.get_origin(kind) or kind
    return origin is Any or (isinstance(origin, type) and isinstance(value, origin))


@functools.cache
def kinds_of(record: type[object]) -> dict[str, Any]:
    """The declared kinds of a record's fields; working them out takes longer than anything here."""
    return typing.get_type_hints(record)


def poison(record: Record, change: Callable[[str], str]) -> Record:
    """Change every text in a record and in all the records it holds."""
    hints = kinds_of(type(record))  # type: ignore[arg-type]  # mypy takes no class for hashable
    fields = dataclasses.fields(record)  # type: ignore[arg-type]  # every Record is a dataclass
    changed = {
        field.name: _poison_value(getattr(record, field.name), hints[field.name], change)
        for field in fields
    }
    return replace(record, **changed)  # type: ignore[type-var]  # as above


def before_each(text: str) -> Callable[[str], str]:
    """Put a text before every text, so that what belonged together still does."""
    return lambda original: text + original


def texts_of(value: Any) -> list[str]:
    """Every text in a JSON document."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, Mapping):
        return [text for pair in value.items() for part in pair for text in texts_of(part)]
    return [text for part in value for text in texts_of(part)] if isinstance(value, list) else []


def test_the_poison_reaches_every_text_of_a_report() -> None:
    document = json.loads(render_json(poison(failing_report(), before_each("POISON"))))
    clean_document = json.loads(render_json(failing_report()))
    kept = set(texts_of(clean_document)) & set(texts_of(document))
    names = {text for text in kept if re.fullmatch(r"[a-z0-9_]+", text)}
    # Only field names, words of closed lists and the schema's name are not data.
    assert kept - names == {"evalkit.report/v1"}


def everything_shown(change: Callable[[str], str], screen: Screen) -> list[str]:
    """All that is made for a terminal."""
    return [
        render_terminal(poison(failing_report(), change), screen),
        render_batch(poison(shown_batch(), change), screen, is_short=True),
        *(f"{render_part(part, screen)}\n" for part in poison(shown_batch(), change).parts),
        diff_text(poison(shown_diff(), change), screen),
        matrix_text(poison(shown_matrix(), change), screen),
        case_text(poison(shown_case("two-turns"), change), screen),
        case_text(poison(shown_case("shipping-intl"), change), screen),
    ]


def is_unsafe(char: str) -> bool:
    return unicodedata.category(char) in ("Cc", "Cf", "Cs", "Zl", "Zp")


@pytest.mark.parametrize(("width", "unicode"), [(40, True), (80, True), (80, False)])
@pytest.mark.parametrize("naughty", NAUGHTY.values(), ids=NAUGHTY)
def test_nothing_of_data_controls_a_terminal(naughty: str, width: int, unicode: bool) -> None:
    screen = Screen(width=width, unicode=unicode)
    for shown in everything_shown(before_each(naughty), screen):
        assert {char for char in shown.replace("\n", "") if is_unsafe(char)} == set()


@pytest.mark.parametrize("naughty", NAUGHTY.values(), ids=NAUGHTY)
def test_in_colour_the_only_escapes_are_ours(naughty: str) -> None:
    for shown in everything_shown(before_each(naughty), Screen(color=True)):
        bare = re.sub(r"\x1b\[(0|1|2|32|33|1;31)m", "", shown)
        assert "\x1b" not in bare


@pytest.mark.parametrize("naughty", NAUGHTY.values(), ids=NAUGHTY)
def test_a_case_takes_one_row_whatever_it_is_called(naughty: str) -> None:
    report = poison(failing_report(), before_each(naughty))
    shown = render_terminal(report, Screen(width=80), verbose=True)
    rows = [line for line in shown.split("\n") if re.match(r"  (regressed|error)  ", line)]
    assert len(rows) == 3


@pytest.mark.parametrize("naughty", NAUGHTY.values(), ids=NAUGHTY)
def test_no_line_of_a_log_is_a_command_to_github(naughty: str) -> None:
    change = before_each(naughty)
    shown = [
        *everything_shown(change, Screen(color=True)),
        *everything_shown(change, Screen(width=40)),
        render_json(poison(failing_report(), change)),
        render_batch_json(poison(shown_batch(), change)),
        diff_json(poison(shown_diff(), change)),
        matrix_json(poison(shown_matrix(), change)),
        case_json(poison(shown_case("two-turns"), change)),
    ]
    for line in (line for text in shown for line in text.split("\n")):
        seen = re.sub(r"[\ufe00-\ufe0f]|\x1b\[[0-9;]*m", "", line)
        assert not seen.lstrip().startswith("::")
        assert not re.search(r"##[A-Za-z]*\[", seen)


@pytest.mark.parametrize("naughty", NAUGHTY.values(), ids=NAUGHTY)
def test_json_stays_one_strict_document_that_gives_every_text_back(naughty: str) -> None:
    report = poison(failing_report(), before_each(naughty))
    shown = render_json(report)
    assert shown.isascii()
    document = json.loads(shown, parse_constant=pytest.fail)
    assert [case["id"] for case in document["cases"]] == [c.id for c in report.run.header.cases]
    assert document["reason"] == report.gate_result.reason
    outputs = [trial.output.text for trial in report.run.trials]
    assert [case["trials"][0]["output"]["text"] for case in document["cases"]] == outputs


@pytest.mark.parametrize("naughty", NAUGHTY.values(), ids=NAUGHTY)
def test_junit_parses_and_its_totals_stay_true(naughty: str) -> None:
    report, batch = failing_report(), shown_batch()
    harmful, harmless = before_each(naughty), before_each(HARMLESS)
    assert_alike(render_junit(poison(report, harmful)), render_junit(poison(report, harmless)))
    assert_alike(
        render_batch_junit(poison(batch, harmful)), render_batch_junit(poison(batch, harmless))
    )


def assert_alike(shown: str, plain: str) -> None:
    """Compare the elements and the totals of two JUnit documents."""
    root, benign = ET.fromstring(shown.encode()), ET.fromstring(plain.encode())
    assert [element.tag for element in root.iter()] == [element.tag for element in benign.iter()]
    for total in ("tests", "failures", "errors", "skipped"):
        assert root.attrib[total] == benign.attrib[total]
    for suite in root:
        names = [test.attrib["name"] for test in suite]
        assert len(set(names)) == len(names)


markdown = MarkdownIt("commonmark").enable(["table", "strikethrough"])
OUR_HTML = {"<details>", "</details>", "<summary>", "</summary>"}
OUR_INLINES = {"text", "text_special", "code_inline", "softbreak", "strong_open", "strong_close"}


def block_structure(source: str) -> list[tuple[str, str, int, int]]:
    return [(t.type, t.tag, t.nesting, t.level) for t in markdown.parse(source)]


def inline_tokens(source: str) -> list[Token]:
    return [child for token in markdown.parse(source) for child in token.children or []]


@pytest.mark.parametrize("naughty", NAUGHTY.values(), ids=NAUGHTY)
def test_markdown_keeps_its_structure(naughty: str) -> None:
    renderers: tuple[Callable[[Callable[[str], str]], str], ...] = (
        lambda change: render_markdown(poison(failing_report(), change)),
        lambda change: render_batch_markdown(poison(shown_batch(), change)),
        lambda change: diff_markdown(poison(shown_diff(), change)),
        lambda change: matrix_markdown(poison(shown_matrix(), change)),
    )
    for render in renderers:
        source, benign = render(before_each(naughty)), render(before_each(HARMLESS))
        assert block_structure(source) == block_structure(benign)
        assert {token.type for token in inline_tokens(source)} <= OUR_INLINES
        html = "".join(t.content for t in markdown.parse(source) if t.type == "html_block")
        assert set(re.findall(r"<[^>]*>", html)) <= OUR_HTML
        assert len(source.encode()) <= SUMMARY_LIMIT


@pytest.mark.parametrize(
    "word", ["@everyone", "#1", "GH-2", "www.evil.example", "https://evil.example"]
)
def test_what_a_forge_links_in_plain_text_stands_only_in_code(word: str) -> None:
    change = before_each(f"{word} ")
    for source in (
        render_markdown(poison(failing_report(), change)),
        render_batch_markdown(poison(shown_batch(), change)),
        diff_markdown(poison(shown_diff(), change)),
        matrix_markdown(poison(shown_matrix(), change)),
    ):
        plain = [token.content for token in inline_tokens(source) if token.type == "text"]
        assert [text for text in plain if word in text] == []


def enormous() -> Report:
    """A report in which an output, an id, an error, an explanation and a metric's name are 5 MB each."""
    report = failing_report()
    big = {
        text: (text + " \x1b:`|<") * (5_000_000 // (len(text) + 6))
        for text in (
            "refund-window",
            "I do not know.",
            "no answer within 30 s",
            "expected '30 days', got 'I do not know.'",
            "exact_match",
        )
    }
    return poison(report, lambda text: big.get(text, text))


def test_texts_of_five_megabytes_are_cut_to_what_a_reader_can_use() -> None:
    report = enormous()
    assert [
        len(result.case.id) > 4_000_000 for result in case_results(report.run, report.gate_result)
    ][:2] == [True, False]
    for width in (40, 80):
        shown = render_terminal(report, Screen(width=width))
        assert len(shown) < 20_000
    assert len(render_markdown(report)) < 60_000
    assert len(render_junit(report)) < 60_000


def test_the_longest_names_leave_a_row_to_every_case() -> None:
    report = poison(failing_report(), lambda text: text * 50 if text == "refund-window" else text)
    shown = render_terminal(report, Screen(width=80))
    rows = [line for line in shown.split("\n") if re.match(r"  (regressed|error)  ", line)]
    assert len(rows) == 3
    assert all("3/3 -> " in row for row in rows)
