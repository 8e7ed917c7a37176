"""Text with placeholders, `{input}` or `{metadata.user.name}`, filled in with what an agent is asked.

What is put in is data: it is never read for placeholders again.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from evalkit.core.eval_set import AgentSpec, Case, Turn
from evalkit.core.literals import Json
from evalkit.core.location import Problem
from evalkit.core.safe_text import one_line
from evalkit.core.trial import Request

_TOKEN = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")

PLACEHOLDERS = ("input", "messages", "metadata", "case.id", "trial", "seed")
"""What every request has; `metadata.NAME`, to any depth, is what a case gives."""

SHOWN_CASES = 5
SHOWN_WIDTH = 60


class BadTemplate(ValueError):
    """A template that cannot be read; the message says why and what to write instead."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Template:
    """A text in pieces: literal text, and between two pieces of it the name of a placeholder."""

    literals: tuple[str, ...]
    placeholders: tuple[str, ...]

    @property
    def sole_placeholder(self) -> str | None:
        """The name of the placeholder that is the whole text, if one is."""
        return self.placeholders[0] if self.literals == ("", "") else None


@lru_cache(maxsize=1024)
def parse_template(text: str) -> Template:
    """Read a text with placeholders; `{{` and `}}` are literal braces.

    Raises:
        BadTemplate: a brace that stands alone, or a placeholder there is none of.
    """
    literals, names = [""], []
    position = 0
    for token in _TOKEN.finditer(text):
        literals[-1] += text[position : token.start()]
        position = token.end()
        if token[1] is not None:
            names.append(_check_placeholder(token[1]))
            literals.append("")
        elif len(token[0]) == 2:
            literals[-1] += token[0][0]
        else:
            raise BadTemplate(
                f"{one_line(text, SHOWN_WIDTH)!r} has a single {token[0]!r}. "
                f"Write {token[0] * 2!r} for a literal brace."
            )
    literals[-1] += text[position:]
    return Template(literals=tuple(literals), placeholders=tuple(names))


def _check_placeholder(name: str) -> str:
    if name in PLACEHOLDERS or (name.startswith("metadata.") and all(name.split("."))):
        return name
    near = difflib.get_close_matches(name, PLACEHOLDERS, n=1)
    advice = f"Did you mean '{{{near[0]}}}'?" if near else "Write '{{' for a literal brace."
    known = ", ".join(f"{{{known}}}" for known in (*PLACEHOLDERS, "metadata.NAME"))
    raise BadTemplate(
        f"unknown placeholder '{{{one_line(name, SHOWN_WIDTH)}}}'. {advice} There are {known}."
    )


def get_at_path(value: Json, path: str) -> Json:
    """Follow a dotted path through mappings and, by index, lists: `choices.0.message.content`.

    Raises:
        LookupError: there is no such place; its text is the first part of the path that is missing.
    """
    parts = path.split(".")
    for depth, part in enumerate(parts, start=1):
        if isinstance(value, Mapping) and part in value:
            value = value[part]
        elif isinstance(value, list | tuple) and part.isdecimal() and int(part) < len(value):
            value = value[int(part)]
        else:
            raise LookupError(".".join(parts[:depth]))
    return value


def resolve_placeholder(name: str, request: Request) -> Json:
    """The JSON value that a placeholder stands for in one request."""
    match name:
        case "input":
            return request.text
        case "messages":
            return to_messages(request.messages)
        case "case.id":
            return request.case_id
        case "trial":
            return request.trial
        case "seed":
            return request.seed
    return get_at_path({"metadata": request.metadata}, name)


def to_messages(turns: Sequence[Turn]) -> list[dict[str, str]]:
    """Turns in the spelling that chat models made common."""
    return [{"role": turn.role, "content": turn.content} for turn in turns]


def fill_text(
    template: Template, request: Request, quote: Callable[[str], str] | None = None
) -> str:
    """Fill in text as it is and any other value as JSON, each passed through `quote` if given."""
    filled = [template.literals[0]]
    for name, literal in zip(template.placeholders, template.literals[1:], strict=True):
        value = resolve_placeholder(name, request)
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        filled += [quote(text) if quote else text, literal]
    return "".join(filled)


def fill_value(template: Template, request: Request) -> Json:
    """Like `fill_text`, but a placeholder that is the whole text keeps its JSON type."""
    if template.sole_placeholder is not None:
        return resolve_placeholder(template.sole_placeholder, request)
    return fill_text(template, request)


def find_template_problems(
    texts: Sequence[str], place: str, spec: AgentSpec, cases: Sequence[Case]
) -> Iterator[Problem]:
    """Everything wrong with templates that stand at `place`, or with the cases that are to fill them."""
    names: dict[str, None] = {}
    for text in texts:
        try:
            names.update(dict.fromkeys(parse_template(text).placeholders))
        except BadTemplate as bad:
            yield Problem(message=f"{spec.kind}: {place}: {bad}", where=spec.where)
    for name in names:
        lacking = [
            case for case in cases if name not in PLACEHOLDERS and not _has_value(case, name)
        ]
        if lacking:
            shown = ", ".join(repr(case.id) for case in lacking[:SHOWN_CASES])
            more = f" and {len(lacking) - SHOWN_CASES} more" if len(lacking) > SHOWN_CASES else ""
            yield Problem(
                message=f"{spec.kind}: {place} asks for '{{{name}}}', which is missing in case "
                f"{shown}{more}. Give it there, or take the placeholder out.",
                where=spec.where,
            )


def _has_value(case: Case, name: str) -> bool:
    try:
        get_at_path({"metadata": case.metadata}, name)
    except LookupError:
        return False
    return True
