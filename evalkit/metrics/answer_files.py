"""The files an agent hands over in its output: under paths in its data, or one text with code in it."""

from __future__ import annotations

from collections.abc import Mapping

from evalkit.core.literals import Json
from evalkit.core.trial import Output
from evalkit.metrics.explanations import describe_kind
from evalkit.metrics.paths import ABSENT, find_value
from evalkit.worker.limited_files import RejectedFiles, check_files

_FENCES = ("```", "~~~")


def read_answer_files(output: Output, of: str, path: str) -> dict[str, str]:
    """The files at `of`, a mapping of paths to text; without it the answer's text or code, as `path`.

    Raises:
        Refused: there are none, or not such as can be put into a folder.
    """
    found = find_value(output, of)
    if found is not ABSENT and found is not None:
        return parse_files(found, f"the output's {of}")
    if not path:
        raise RejectedFiles(f"the output has no {of}, where the files should be")
    if not output.text.strip():
        raise RejectedFiles("the answer is empty")
    return {path: extract_code(output.text)}


def parse_files(value: Json, subject: str) -> dict[str, str]:
    """A mapping of paths to text, checked (Refused)."""
    if not isinstance(value, Mapping) or not value:
        raise RejectedFiles(f"{subject} is {describe_kind(value)}, not a mapping of paths to text")
    for name, content in value.items():
        if not isinstance(content, str):
            raise RejectedFiles(f"{subject} has {describe_kind(content)} under {name!r}, not text")
    files = dict(value)
    check_files(files)
    return files


def extract_code(text: str) -> str:
    """The longest code block that stands in Markdown fences; the whole text when there is none."""
    blocks: list[str] = []
    fence, block = "", list[str]()
    for line in text.splitlines(keepends=True):
        start = line.strip()
        if not fence and start.startswith(_FENCES):
            mark = start[0]
            fence, block = mark * (len(start) - len(start.lstrip(mark))), []
        elif fence and start.startswith(fence) and not start.strip(fence[0]):
            blocks.append("".join(block))
            fence = ""
        elif fence:
            block.append(line)
    if fence:  # an answer that was cut off
        blocks.append("".join(block))
    return max(blocks, key=len, default=text)
