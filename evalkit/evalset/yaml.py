"""Parse YAML into a tree of nodes, and report problems with their lines.

This is a strict subset of YAML that every reader understands the same way: one document without tags
or duplicate keys. The plain scalars with a type are `true` and `false`, integers, decimals, and `null`
(also `~` and empty). Everything else, such as `no`, `0123`, `1:30`, `1_000`, `1e3`, or a date, is text
as written. Anchors, aliases, and merge keys are read; see `evalkit.evalset.yaml_tree`.
"""

from __future__ import annotations

import itertools
import re

import yaml

from evalkit.core.location import Location, Problem
from evalkit.core.safe_text import escape_character
from evalkit.core.source_files import decode_utf8
from evalkit.evalset.nodes import MAX_DEPTH, MAX_PROBLEMS, Node
from evalkit.evalset.written_out import StopReading
from evalkit.evalset.yaml_tree import TreeBuilder, locate

LOADER: type[yaml.SafeLoader | yaml.CSafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""libyaml's loader, eight times as fast, if PyYAML was built with it. Only its parser is used."""

# YAML's c-printable without the line breaks that only YAML 1.1 knows: libyaml silently folds them into
# a space, and other readers count lines differently.
_FORBIDDEN = re.compile(
    "[^\t\n\r\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]"
)
_ADVICE = (
    ("mapping values are not allowed", "Quote text that contains ': ', and align keys."),
    ("cannot start any token", "Quote text that begins with '@', '`' or '%'."),
    ("Unicode character escape", r"Write the character itself or \U and eight hex digits."),
    ("unknown escape character", "Use single quotes where backslashes are meant as such."),
    ("while scanning a quoted scalar", "Close the quotes."),
    ("while parsing a flow", "Close the bracket, and put commas between the items."),
)
_NO_CONTEXT = "while scanning for the next token"


def _find_forbidden(text: str, path: str) -> list[Problem]:
    """Return a problem for each of the first characters that YAML does not allow unescaped."""
    problems = []
    for match in itertools.islice(_FORBIDDEN.finditer(text), MAX_PROBLEMS):
        start = match.start()
        message = (
            f"YAML does not allow the character U+{ord(match[0]):04X} unescaped. "
            f'Write it as "{escape_character(match)}" in double quotes.'
        )
        where = Location(
            path=path,
            line=text.count("\n", 0, start) + 1,
            column=start - text.rfind("\n", 0, start),
        )
        problems.append(Problem(message=message, where=where))
    return problems


def _describe_syntax_error(error: yaml.MarkedYAMLError, text: str, path: str) -> Problem:
    mark, begin = error.problem_mark, error.context_mark
    where = locate(mark or begin, path)
    if mark is not None and text[mark.index : mark.index + 1] == "\t":
        return Problem(message="a tab cannot indent YAML; use spaces.", where=where)
    words = error.problem or "it ends too early"
    if "nesting depth" in words:  # newer libyaml reads ahead and has a limit of its own
        return Problem(message=f"nested more than {MAX_DEPTH} levels deep.", where=where)
    if error.context and error.context != _NO_CONTEXT:
        words += f", {error.context}"
    if begin is not None and begin.line + 1 != where.line:
        words += f" that begins in line {begin.line + 1}"
    advice = next((advice for part, advice in _ADVICE if part in words), "Fix the syntax.")
    return Problem(message=f"not valid YAML: {words}. {advice}", where=where)


def parse_yaml(data: bytes, path: str, problems: list[Problem]) -> Node | None:
    """Return the one document of a YAML file; None if there is none or it is unreadable.

    `path` is the file's name in locations. Every syntax problem is added to `problems`.
    The size of `data` bounds memory and time.
    """
    text = decode_utf8(data, path, problems)
    if text is None:
        return None
    if forbidden := _find_forbidden(text, path):
        problems += forbidden
        return None
    tree = TreeBuilder(path, problems)
    try:
        for event in yaml.parse(text, Loader=LOADER):
            tree.add_event(event)
    except StopReading as stop:
        problems.append(stop.problem)
    except yaml.MarkedYAMLError as error:
        problems.append(_describe_syntax_error(error, text, path))
    else:
        return tree.root
    return None
