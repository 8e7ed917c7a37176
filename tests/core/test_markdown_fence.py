"""Fenced code blocks are found where CommonMark finds them."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from evalkit.core.markdown_fence import read_blocks, read_single_block

FORMS = {
    "plain": "```json\n{}\n```",
    "CRLF": "```json\r\n{}\r\n```\r\n",
    "CR": "```json\r{}\r```",
    "space before the info string": "``` json\n{}\n```",
    "space after the info string": "```json \n{}\n``` ",
    "another language": "```json5 title=x\n{}\n```",
    "four backticks": "````json\n{}\n`````",
    "tildes": "~~~json\n{}\n~~~",
    "indented": "   ```json\n   {}\n  ```",
    "in a list item": "- ```json\n  {}\n  ```",
    "in a list of lists": "1. - ```json\n     {}\n     ```",
    "in a quote": "> ```json\n> {}\n> ```",
    "byte order mark": "\ufeff```json\n{}\n```",
    "blank lines around": "\n\n```json\n{}\n```\n\n",
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_one_block_is_read_alike(form: str) -> None:
    block = read_single_block(FORMS[form])
    assert block is not None
    assert (block.content, block.language[:4], block.is_closed) == ("{}\n", "json", True)


def test_a_block_keeps_its_own_indentation_and_fences_of_another_kind() -> None:
    text = (
        "1. Do:\n\n   ```python\n   if x:\n   \tprint('~~~')\n   ~~~\n   ````\n\n   ~~~ sh\n   ls\n"
    )
    first, second = read_blocks(text)
    assert (first.content, first.info) == ("if x:\n\tprint('~~~')\n~~~\n", "python")
    assert (second.content, second.info, second.is_closed) == ("ls\n", "sh", False)


@pytest.mark.parametrize(
    "text", ["    ```\n    x\n    ```", "``x``", "```a`b\nx", "text", "", "``` x ```"]
)
def test_what_is_no_fence_is_none(text: str) -> None:
    assert read_blocks(text) == []
    assert read_single_block(text) is None


@pytest.mark.parametrize("text", ["x\n```\na\n```", "```\na\n```\nx", "```\na\n```\n```\nb\n```"])
def test_a_block_beside_something_else_is_not_single(text: str) -> None:
    assert read_blocks(text)
    assert read_single_block(text) is None
    assert read_single_block("```\nopen") is None
    assert read_single_block("```\nopen", must_close=False) is not None


PIECES = ["```", "~~~", "````", "```py", "~~~ a`b", "- ", "1. ", "  ", "   ", "    ", "> ", "x", "\n", "\n\n"]  # fmt: skip
COMMONMARK = MarkdownIt("commonmark").disable(["html_block"])


@settings(deadline=None, max_examples=300)
@given(st.lists(st.sampled_from(PIECES), max_size=14).map("".join))
def test_blocks_are_those_of_a_markdown_parser(text: str) -> None:
    if "- \n" in text or "1. \n" in text:
        return  # an empty list item, whose content CommonMark ends after one blank line
    wanted = [
        (token.content.rstrip(), token.info.strip())
        for token in COMMONMARK.parse(text)
        if token.type == "fence"
    ]
    assert [(block.content.rstrip(), block.info) for block in read_blocks(text)] == wanted
