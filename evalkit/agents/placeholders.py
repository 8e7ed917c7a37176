"""Fill placeholders such as `{input}` or `{metadata.user.name}` with the values of a request.

Values are data: a placeholder inside a value is never filled.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from evalkit.core.eval_set import AgentSpec, Case, Turn
from evalkit.core.literals import Json
from evalkit.core.location import Problem
from evalkit.core.safe_text import one_line
from evalkit.core.trial import Request

_TOKEN = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")

PLACEHOLDERS = ("input", "messages", "metadata", "case.id", "trial", "seed", "session")
"""The placeholders of requests; `metadata.NAME`, to any depth, comes from the case.

Every request has a value for each of them, but `session` only after a reply has issued one.
"""

SHOWN_CASES = 5
SHOWN_WIDTH = 60


class BadTemplate(ValueError):
    """A template that is not valid; the message says why and what to write instead."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Template:
    """A parsed text: literal texts, with a placeholder between each two of them."""

    literals: tuple[str, ...]
    placeholders: tuple[str, ...]

    @property
    def sole_placeholder(self) -> str | None:
        """The name of the placeholder that is the whole text, or None."""
        return self.placeholders[0] if self.literals == ("", "") else None


@lru_cache(maxsize=1024)  # a body's texts are parsed again for every request
def parse_template(text: str) -> Template:
    """Parse a text with placeholders; `{{` and `}}` are literal braces.

    Raises:
        BadTemplate: the text has a single brace, or an unknown placeholder.
    """
    literals, names = [""], []
    position = 0
    for token in _TOKEN.finditer(text):
        literals[-1] += text[position : token.start()]
        position = token.end()
        if token[1] is not None:
            names.append(_check_placeholder(token[1]))
            literals.append("")
        elif len(token[0]) == 2:  # an escaped brace
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
        f"unknown placeholder '{{{one_line(name, SHOWN_WIDTH)}}}'. {advice} Known: {known}."
    )


def get_at_path(value: Json, path: str) -> Json:
    """Follow a dotted path through mappings and, by index, lists: `choices.0.message.content`.

    Raises:
        LookupError: there is no such value; its text is the path up to the first missing part.
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
    """Return the JSON value of a placeholder in one request."""
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
        case "session":
            return request.session
    # Only `metadata` and `metadata.NAME` are left: `parse_template` rejects all other names.
    return get_at_path({"metadata": request.metadata}, name)


def to_messages(turns: Sequence[Turn]) -> list[dict[str, str]]:
    """Return turns in the format of chat models."""
    return [{"role": turn.role, "content": turn.content} for turn in turns]


def fill_text(
    template: Template, request: Request, quote: Callable[[str], str] | None = None
) -> str:
    """Return the text with its placeholders filled: text as it is, other values as JSON.

    If `quote` is given, apply it to each filled value.
    """
    filled = [template.literals[0]]
    for name, literal in zip(template.placeholders, template.literals[1:], strict=True):
        value = resolve_placeholder(name, request)
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        filled += [quote(text) if quote else text, literal]
    return "".join(filled)


def fill_value(template: Template, request: Request) -> Json:
    """Return the filled text, or the JSON value of the placeholder that is the whole text."""
    if template.sole_placeholder is not None:
        return resolve_placeholder(template.sole_placeholder, request)
    return fill_text(template, request)


def fill_body(body: Json, request: Request) -> Json:
    """Return a body with every text filled; a text that is one placeholder becomes its JSON value.

    Leave out texts with `{session}` while the request has no session.
    """
    if isinstance(body, str):
        return fill_value(parse_template(body), request)
    if isinstance(body, Mapping):
        return {
            key: fill_body(value, request)
            for key, value in body.items()
            if not _lacks_session(value, request)
        }
    if isinstance(body, list):
        return [fill_body(value, request) for value in body if not _lacks_session(value, request)]
    return body


def _lacks_session(value: Json, request: Request) -> bool:
    is_filled = request.session is not None or not isinstance(value, str)
    return not is_filled and "session" in parse_template(value).placeholders


def find_template_problems(
    texts: Iterable[str], place: str, spec: AgentSpec, cases: Sequence[Case]
) -> Iterator[Problem]:
    """Yield invalid templates of an argument, and placeholders for which some cases have no value."""
    names: dict[str, None] = {}
    for text in texts:
        try:
            names.update(dict.fromkeys(parse_template(text).placeholders))
        except BadTemplate as bad:
            yield Problem(message=f"{spec.kind}: {place}: {bad}", where=spec.where)
    if "session" in names and spec.kind != "http":
        message = f"{spec.kind}: {place}: only an http agent has a '{{session}}'. Remove it."
        yield Problem(message=message, where=spec.where)
    for name in names:
        missing = [
            case for case in cases if name not in PLACEHOLDERS and not _has_value(case, name)
        ]
        if missing:
            shown = ", ".join(repr(case.id) for case in missing[:SHOWN_CASES])
            more = f" and {len(missing) - SHOWN_CASES} more" if len(missing) > SHOWN_CASES else ""
            yield Problem(
                message=f"{spec.kind}: {place} needs '{{{name}}}', which is missing in case "
                f"{shown}{more}. Add it there, or remove the placeholder.",
                where=spec.where,
            )


def _has_value(case: Case, name: str) -> bool:
    try:
        get_at_path({"metadata": case.metadata}, name)
    except LookupError:
        return False
    return True
