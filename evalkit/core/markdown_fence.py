"""Read the fenced code blocks of a Markdown text."""

from __future__ import annotations

import re
from dataclasses import dataclass

_FENCES = ("```", "~~~")
# The end of the text decides which fence closes the block, so that the content may contain fences.
_SINGLE_BLOCK = re.compile(r"\s*```(?P<info>[^\n`]*)\n(?P<content>.*?)\n?```\s*", re.DOTALL)


@dataclass(frozen=True, kw_only=True, slots=True)
class FencedBlock:
    """The content of a fenced code block and its info string, which usually names a language."""

    content: str
    info: str = ""


def read_single_block(text: str) -> FencedBlock | None:
    """Return the block that makes up all of a text, or None when there is anything else in it."""
    match = _SINGLE_BLOCK.fullmatch(text)
    return FencedBlock(content=match["content"], info=match["info"]) if match else None


def read_blocks(text: str) -> list[FencedBlock]:
    """Return the fenced blocks of a text in order; the text may end before the last one is closed."""
    blocks: list[FencedBlock] = []
    fence, info, lines = "", "", list[str]()
    for line in text.splitlines(keepends=True):
        stripped = line.strip()
        if not fence and stripped.startswith(_FENCES):
            mark = stripped[0]
            info = stripped.lstrip(mark)
            fence, lines = mark * (len(stripped) - len(info)), []
        elif fence and stripped.startswith(fence) and not stripped.strip(fence[0]):
            blocks.append(FencedBlock(content="".join(lines), info=info))
            fence = ""
        elif fence:
            lines.append(line)
    if fence:
        blocks.append(FencedBlock(content="".join(lines), info=info))
    return blocks
