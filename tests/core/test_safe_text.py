from __future__ import annotations

import json
import re
import unicodedata
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from evalkit.core.safe_text import (
    cell_width,
    escape_ci_commands,
    escape_non_ascii,
    escape_unsafe,
    escape_xml,
    format_json,
    head,
    markdown_code,
    markdown_fence,
    markdown_text,
    one_line,
    tail,
    wrap,
)

# Format characters that are seen: signs before Arabic and Kaithi numbers.
VISIBLE_FORMAT = set("\u0600\u0601\u0602\u0603\u0604\u0605\u06dd\u070f\u0890\u0891\u08e2") | {
    "\U000110bd",
    "\U000110cd",
}
# Python's st.text() leaves surrogates out unless they are asked for.
any_text = st.text(st.characters() | st.characters(categories=["Cc", "Cf", "Cs", "Zl", "Zp"]))
tricky_text = st.text(st.sampled_from("`|*_[]()<>&@#:!\\~=-+1. \naw/\ufe0f\x1b{}$\"'"))


def is_forbidden(char: str) -> bool:
    category = unicodedata.category(char)
    return category in ("Cc", "Cs", "Zl", "Zp") or (category == "Cf" and char not in VISIBLE_FORMAT)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain text, naïve café, 日本語, 👍🏽", "plain text, naïve café, 日本語, 👍🏽"),
        ("a\nb\r\n\tc", r"a\nb\r\n\tc"),
        ("\x1b[31mred\x1b[0m", r"\x1b[31mred\x1b[0m"),
        ("\x1b]8;;http://x\x07link", r"\x1b]8;;http://x\x07link"),
        ("\x9b31m", r"\x9b31m"),
        ("del\x7f nul\x00", r"del\x7f nul\x00"),
        ("abc\u202efdp.exe", r"abc\u202efdp.exe"),
        ("\u2066left\u2069", r"\u2066left\u2069"),
        ("pass\u200bword\ufeff", r"pass\u200bword\ufeff"),
        ("line\u2028paragraph\u2029", r"line\u2028paragraph\u2029"),
        ("half \ud83d pair", r"half \ud83d pair"),
        ("tag\U000e0041", r"tag\U000e0041"),
        ("not a character \ufffe", r"not a character \ufffe"),
        ("blank letter \u3164", r"blank letter \u3164"),
    ],
)
def test_what_is_not_harmless_becomes_a_visible_escape(text: str, shown: str) -> None:
    assert escape_unsafe(text) == shown


def test_a_block_keeps_line_ends_and_shows_tabs_as_spaces() -> None:
    assert escape_unsafe("a\r\n\tb\rc\x0c", newlines=True) == "a\n    b\\rc\\x0c"


def test_no_character_of_unicode_is_overlooked() -> None:
    everything = "".join(map(chr, range(0x110000)))
    assert {char for char in escape_unsafe(everything) if is_forbidden(char)} == set()


@given(any_text)
def test_cleaning_leaves_nothing_forbidden_and_cleaning_again_changes_nothing(text: str) -> None:
    line, block = escape_unsafe(text), escape_unsafe(text, newlines=True)
    assert not any(map(is_forbidden, line))
    assert not any(map(is_forbidden, block.replace("\n", "")))
    assert escape_unsafe(line) == line
    assert escape_unsafe(block, newlines=True) == block


@given(st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E)))
def test_printable_ascii_is_left_alone(text: str) -> None:
    assert escape_unsafe(text) == text
    assert escape_unsafe(text, newlines=True) == text


@pytest.mark.parametrize(
    ("text", "cells"),
    [("abc", 3), ("日本", 4), ("e\u0301", 1), ("❤\ufe0f", 2), ("🇳🇴", 2), ("\u1112\u1161\u11ab", 2)],
)
def test_width_is_counted_in_cells(text: str, cells: int) -> None:
    assert cell_width(text) == cells


@pytest.mark.parametrize(
    ("text", "width", "shown"),
    [
        ("fits", 4, "fits"),
        ("too long", 6, "too l…"),
        ("ends in a blank", 8, "ends in…"),
        ("日本語", 6, "日本語"),
        ("日本語", 5, "日本…"),
        ("日本語", 4, "日…"),
        ("two\nlines", 20, r"two\nlines"),
        ("", 0, ""),
        ("x", 0, ""),
        ("xy", 1, "…"),
    ],
)
def test_a_line_is_cut_to_its_cells(text: str, width: int, shown: str) -> None:
    assert one_line(text, width) == shown


@given(any_text, st.integers(0, 30))
def test_a_line_never_takes_more_cells_than_it_may(text: str, width: int) -> None:
    assert cell_width(one_line(text, width)) <= width


def test_a_page_of_combining_marks_does_not_pass_as_one_cell() -> None:
    assert len(one_line("e" + "\u0301" * 100_000, 10)) <= 81


@given(any_text, st.integers(2, 30))
def test_folded_lines_fit_and_lose_no_word(text: str, width: int) -> None:
    lines = wrap(text, width)
    assert all(cell_width(line) <= width for line in lines)
    assert "".join(lines).replace(" ", "") == escape_unsafe(text).replace(" ", "")


def test_folding_breaks_at_spaces_first() -> None:
    assert wrap("the quick brown fox jumps", 10) == ["the quick", "brown fox", "jumps"]
    assert wrap("a verylongword here", 6) == ["a", "verylo", "ngword", "here"]


@given(any_text, st.integers(50, 200))
def test_head_and_tail_keep_to_their_limit(text: str, limit: int) -> None:
    text *= 10
    assert len(head(text, limit)) <= limit
    assert len(tail(text, limit)) <= limit


def test_the_tail_keeps_the_end_where_errors_stand() -> None:
    assert tail("short", 50) == "short"
    kept = tail("noise\n" * 1000 + "ValueError: boom", 60)
    assert kept.startswith("[...] ")
    assert kept.endswith("ValueError: boom")
    assert len(kept) == 60


def test_the_head_says_how_long_the_text_was() -> None:
    assert head("short", 50) == "short"
    assert head("x" * 5000, 60) == "x" * 30 + "\n[... 5,000 characters in all]"


def find_commands(log: str) -> list[str]:
    """The lines a CI system would obey, read as actions/runner does."""
    obeyed = []
    for line in log.split("\n"):
        seen = re.sub("[\ufe00-\ufe0f]", "", line)
        if seen.lstrip().startswith("::") or re.search(r"##[A-Za-z]*\[", seen):
            obeyed.append(line)
    return obeyed


@pytest.mark.parametrize(
    "line",
    [
        "::error::forged",
        "  ::add-mask::secret",
        "\u00a0::stop-commands::x",
        "\ufe0f:\ufe0f:error::x",
        "##[error]forged",
        "text before ##[group]x",
        "###[error]x",
        "#\ufe0f#[error]x",
        "##vso[task.complete result=Succeeded]",
        "##teamcity[testFailed]",
        "fine\n::error::second line",
        ":::error::",
    ],
)
def test_a_log_line_is_no_command_to_a_ci_system(line: str) -> None:
    assert find_commands(line)
    guarded = escape_ci_commands(line)
    assert find_commands(guarded) == []
    assert escape_ci_commands(guarded) == guarded


@given(st.text(st.sampled_from(":#[] \n\tvso\ufe0f\u00a0")))
def test_no_arrangement_of_command_characters_gets_through(text: str) -> None:
    assert find_commands(escape_ci_commands(text)) == []


def test_what_is_no_command_stays_in_the_log() -> None:
    text = "std::vector and ## heading [1]\n  a: b"
    assert escape_ci_commands(text) == text


def test_an_ascii_terminal_gets_escapes() -> None:
    assert escape_non_ascii("naïve … \ud83d") == r"na\xefve \u2026 \ud83d"


@given(any_text)
def test_any_text_makes_well_formed_xml(text: str) -> None:
    element = ET.Element("a", b=escape_unsafe(text))
    element.text = escape_xml(text)
    parsed = ET.fromstring(ET.tostring(element))
    assert (parsed.text or "") == escape_xml(text)
    assert parsed.attrib["b"] == escape_unsafe(text)


markdown = MarkdownIt("commonmark").enable("table")


def inline_tokens(source: str) -> list[Token]:
    return [
        child
        for token in markdown.parse(source)
        if token.type == "inline"
        for child in token.children or []
    ]


@given(any_text | tricky_text)
def test_a_code_span_holds_exactly_the_text(text: str) -> None:
    cleaned = escape_unsafe(text)
    tokens = inline_tokens(f"x{markdown_code(text)}")[1:]
    if cleaned.strip(" "):
        assert [(token.type, token.content) for token in tokens] == [("code_inline", cleaned)]
    else:
        assert markdown_code(text) == "(empty)"


@given(tricky_text, tricky_text)
def test_data_in_cells_leaves_a_table_its_shape(first: str, second: str) -> None:
    def shape(*cells: str) -> list[str]:
        row = " | ".join(cells)
        return [token.type for token in markdown.parse(f"| a | b |\n| --- | --- |\n| {row} |")]

    cells = (markdown_code(first, cell=True), markdown_code(second, cell=True))
    assert shape(*cells) == shape("x", "y")


SENTENCE_TOKENS = {"text", "text_special", "code_inline"}


@pytest.mark.parametrize(
    "text",
    [
        "# heading",
        "- item",
        "+ item",
        "12. item",
        "3) item",
        "> quote",
        "    code",
        "---",
        "===",
        "| a | b |",
        "~~~",
        "```",
        "<script>alert(1)</script>",
        "<!-- comment",
        "[link](javascript:alert(1))",
        "![image](http://x/y.png)",
        "<http://x>",
        "[ref]: http://x",
        "**bold** _em_ __b__ *e*",
        "a\\",
        "two  \nlines",
        "&copy; &#64;user",
    ],
)
def test_a_sentence_forms_no_markup(text: str) -> None:
    tokens = markdown.parse(f"before\n\n{markdown_text(text)}\n\nafter")
    assert [token.type for token in tokens if token.type != "inline"] == [
        "paragraph_open",
        "paragraph_close",
    ] * 3
    assert {token.type for token in inline_tokens(markdown_text(text))} <= SENTENCE_TOKENS


@given(tricky_text)
def test_no_sentence_forms_markup(text: str) -> None:
    source = markdown_text(text)
    assert {token.type for token in inline_tokens(source)} <= SENTENCE_TOKENS
    blocks = [token.type for token in markdown.parse(f"x\n\n{source}") if token.type != "inline"]
    assert blocks in (
        ["paragraph_open", "paragraph_close"],
        ["paragraph_open", "paragraph_close"] * 2,
    )


@pytest.mark.parametrize(
    "word", ["@user", "a@b.c", "#12", "GH-12", "https://evil.example", "www.evil.example", ":tada:"]
)
def test_a_word_that_a_forge_would_link_stands_as_code(word: str) -> None:
    assert markdown_text(f"see {word} now") == f"see `{word}` now"


def test_a_plain_sentence_stays_readable() -> None:
    sentence = "exact_match 71.4% -> 66.0% (-5.4 pt, 90% interval -8.1 to -2.7; 100 cases)."
    assert markdown_text(sentence) == sentence


@given(any_text | tricky_text)
def test_a_fence_is_closed_by_nothing_inside(text: str) -> None:
    (token,) = markdown.parse(markdown_fence(text))
    assert token.type == "fence"
    assert token.content == escape_unsafe(text, newlines=True) + "\n"


@given(any_text)
def test_json_gives_every_text_back_and_is_ascii(text: str) -> None:
    block = format_json({"text": text})
    # Two halves of a surrogate pair side by side are one character to every JSON reader.
    assert json.loads(block)["text"] == json.loads(json.dumps(text))
    assert block.isascii()
    assert block.replace("\n", "").isprintable()


def test_json_in_a_log_is_no_command() -> None:
    block = format_json({"::error::a": ["::error::b", "##[error]c", "##vso[d"]})
    assert find_commands(block) == []
    assert json.loads(block) == {"::error::a": ["::error::b", "##[error]c", "##vso[d"]}


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_json_refuses_what_strict_json_cannot_hold(number: float) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        format_json({"value": number})
