"""Read the files that an agent returns: a mapping of paths to text, or one text with code in it."""

from __future__ import annotations

from collections.abc import Mapping

from evalkit.core.literals import Json
from evalkit.core.markdown_fence import read_blocks
from evalkit.core.think_tags import drop_reasoning
from evalkit.core.trial import Output
from evalkit.core.values import ABSENT, describe_kind, find_value
from evalkit.worker.limited_files import RejectedFiles, check_files


def read_answer_files(output: Output, of: str, path: str) -> dict[str, str]:
    """Return the mapping of paths to text at `of`, or else the answer's code as the file `path`.

    Raises:
        RejectedFiles: there are no files, or they cannot be written into a folder.
    """
    found = find_value(output, of)
    if found not in (ABSENT, None):
        return parse_files(found, f"the output's {of}")
    if not path:
        raise RejectedFiles(f"the output has no {of}, where the files should be")
    if not output.text.strip():
        raise RejectedFiles("the answer is empty")
    return {path: extract_code(output.text)}


def parse_files(value: Json, subject: str) -> dict[str, str]:
    """Check a mapping of paths to text and return it.

    Raises:
        RejectedFiles: it is something else, or its paths are not safe.
    """
    if not isinstance(value, Mapping) or not value:
        raise RejectedFiles(f"{subject} is {describe_kind(value)}, not a mapping of paths to text")
    for name, content in value.items():
        if not isinstance(content, str):
            raise RejectedFiles(f"{subject} has {describe_kind(content)} under {name!r}, not text")
    files = dict(value)
    check_files(files)
    return files


def extract_code(text: str) -> str:
    """Return the longest fenced code block of a text, or all of the text if there is none.

    What a model reasoned before does not count.
    """
    text = drop_reasoning(text)
    return max((block.content for block in read_blocks(text)), key=len, default=text)
