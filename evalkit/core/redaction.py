"""Redaction of secrets in the output of an agent, before it is stored or shown."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace

from evalkit.core.literals import Json
from evalkit.core.secret_forms import SecretForms, cut_windows, fold
from evalkit.core.secret_values import MIN_SECRET_CHARS, find_secrets
from evalkit.core.spans import Span, ToolCall
from evalkit.core.trial import Output, Score

MAX_PIECE_CHARS = 64

MIN_CUT_CHARS = 200
"""Shorter texts are not looked through for what a cut left of a secret."""

REPLACEMENT = "***"
"""What replaces a text under the name of a secret."""

REDACTED = "redacted"
"""The flag of an output in which something was redacted."""

_SPAN_TEXTS = (
    *("name", "error", "error_type", "tool"),
    *("model", "prompt", "user_id", "session_id"),
)

_SPAN_VALUES = ("arguments", "result", "attributes")
_CALL_VALUES = ("name", "arguments", "result", "error")

SECRET_KEY = re.compile(
    r"(^|[._-])(api[_-]?keys?|secret([_-]?key)?|password|passwd|passphrase|authorization|set-cookie|cookie|"
    r"credentials?|private[_-]?key|dsn|webhook([_-]?url)?|(access|refresh|id|auth|bearer|session|csrf|api|sas)[_-]?token|token)$",
    re.IGNORECASE,
)
"""Names of attributes with secret text. Only the end of a name counts, so that token counts
(`llm.token_count.prompt`, `gen_ai.usage.input_tokens`) and `max_tokens` remain."""

TEXT_IN_JSON = re.compile(r'"([\w.-]{1,80})"(\s{0,8}:\s{0,8})"(?:[^"\\]|\\.)*"')
"""A key with its text value, inside an attribute that is itself JSON text."""


TEXT_OF_EVENT = re.compile(
    r"""["']([\w.-]{1,40})["']\s{0,8}:\s{0,8}"((?:[^"\\]|\\.)*)"|^data:\s?([^\s{["].*)$""",
    re.MULTILINE,
)
"""A key with its text value, or a line of text, in the events of a stream."""


def redact_by_key(value: Json, name: str = "") -> Json:
    """Return a value with all text under names of secrets redacted. Numbers, such as token counts, are kept.

    >>> redact_by_key({"http.request.header.authorization": ["Bearer x"], "max_tokens": "9"})
    {'http.request.header.authorization': ['***'], 'max_tokens': '9'}
    """
    if isinstance(value, str):
        if value and name and SECRET_KEY.search(name):
            return REPLACEMENT
        # Instrumentations often store JSON as text; the test for `":` skips the search in other texts.
        return TEXT_IN_JSON.sub(_redact_if_secret, value) if '":' in value else value
    if isinstance(value, Mapping):
        return {key: redact_by_key(item, str(key)) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [redact_by_key(item, name) for item in value]
    return value


class Redactor:
    """Replaces the secrets of an environment in texts, however they are escaped or encoded.

    A secret becomes `***NAME***`, with the name of its variable. The variables that a set names
    (`named`) count as well if their values look random. Building it is cheap; searching a text is linear.
    """

    def __init__(self, environ: Mapping[str, str], named: Collection[str] = ()) -> None:
        secrets = find_secrets(environ, named)
        pieces = {
            piece: f"***{name}***"
            for secret, name in secrets.items()
            for piece in _split_secret(secret)
        }
        # Longest first, so that the longest of several secrets at one place gives the marker.
        ordered = sorted(pieces.items(), key=lambda pair: (-len(pair[0]), pair[0]))
        self._forms = [(SecretForms(piece), marker) for piece, marker in ordered]
        self._needles = {
            needle: None
            for forms, _ in self._forms
            for needle in (*forms.needles, *forms.cut_needles)
        }
        self._numbers = {piece: marker for piece, marker in ordered if piece.isdecimal()}

    def redact_text(self, text: str) -> str:
        """Return a text with its secrets redacted."""
        if len(text) < MIN_SECRET_CHARS or not self._is_suspect(text):
            return text
        windows = cut_windows(text)
        # Error messages and what spans hold are cut somewhere on the way.
        edges = (
            [] if len(text) < MIN_CUT_CHARS else list(dict.fromkeys([windows[0], *windows[-2:]]))
        )
        found = [
            (start, end, marker)
            for forms, marker in self._forms
            for start, end in (*forms.find(text, windows), *forms.find_cut(text, edges))
        ]
        return _replace_spans(text, sorted(found, key=lambda each: (each[0], -each[1])))

    def _is_suspect(self, text: str) -> bool:
        """Return whether a text may have a secret in it."""
        folded = fold(text)
        return any(needle in folded for needle in self._needles)

    def redact_output(self, output: Output) -> Output:
        """Return the output with its secrets redacted, and flagged if there were any."""
        named = tuple(map(_redact_span_by_key, output.spans))
        cleaned = output if named == output.spans else replace(output, spans=named)
        if self._forms and (
            cleaned.error is not None or self._is_suspect("\0".join(_iter_output_texts(cleaned)))
        ):
            cleaned = self._redact_fields(cleaned)
        return cleaned if cleaned == output else _flag_redacted(cleaned)

    def _redact_fields(self, output: Output) -> Output:
        return replace(
            output,
            spans=tuple(map(self._redact_span, output.spans)),
            text=self.redact_text(output.text),
            data=self.redact_json(output.data),
            metadata=self.redact_json(output.metadata),
            replies=tuple(map(self.redact_text, output.replies)),
            tool_calls=tuple(map(self._redact_call, output.tool_calls)),
            session=self.redact_json(output.session),
            error=output.error
            and replace(
                output.error,
                message=self._redact_error(output.error.message),
                detail=self._redact_error(output.error.detail),
            ),
        )

    def _redact_error(self, text: str) -> str:
        """Return an error text with its secrets redacted, also one that the events of a stream cut."""
        pieces: dict[str, list[str]] = {}
        for event in TEXT_OF_EVENT.finditer(text):
            pieces.setdefault(event[1] or "", []).append(event[2] or event[3])
        joined = ["".join(each) for each in pieces.values() if len(each) > 1]
        clean = [self.redact_text(each) for each in joined]
        # What the pieces spell replaces the text, because they are all over it.
        return self.redact_text(text) if clean == joined else "\n".join(clean)

    def redact_scores(self, scores: tuple[Score, ...]) -> tuple[Score, ...]:
        """Return scores with the secrets in their explanations redacted; plugins may print them."""
        return tuple(
            replace(score, explanation=self.redact_text(score.explanation))
            if score.explanation
            else score
            for score in scores
        )

    def _redact_span(self, span: Span) -> Span:
        texts: dict[str, Json] = {
            name: self.redact_text(getattr(span, name)) for name in _SPAN_TEXTS
        }
        values = {name: self.redact_json(getattr(span, name)) for name in _SPAN_VALUES}
        return replace(span, **texts, **values)

    def _redact_call(self, call: ToolCall) -> ToolCall:
        return replace(
            call, **{name: self.redact_json(getattr(call, name)) for name in _CALL_VALUES}
        )

    def redact_json(self, value: Json) -> Json:
        """Return a value with the secrets in its texts, keys, and numbers redacted."""
        if isinstance(value, str):
            return self.redact_text(value)
        if isinstance(value, Mapping):
            return {self.redact_json(key): self.redact_json(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.redact_json(item) for item in value]
        if self._numbers and isinstance(value, int | float) and not isinstance(value, bool):
            return self._numbers.get(str(value), value)
        return value


def _replace_spans(text: str, spans: Iterable[tuple[int, int, str]]) -> str:
    """Replace spans, sorted by their start, by their markers; those that touch become one."""
    parts, at, last = [], 0, ""
    for start, end, marker in spans:
        if start > at or not last:
            parts += [text[at:start], marker]
        elif start == at and marker != last:
            parts.append(marker)
        at, last = max(at, end), marker
    return "".join((*parts, text[at:]))


def _split_secret(secret: str) -> Iterator[str]:
    """Yield the pieces of a long secret, whose patterns would otherwise take long to compile."""
    start = 0
    while len(secret) - start > MAX_PIECE_CHARS + MIN_SECRET_CHARS:
        yield secret[start : start + MAX_PIECE_CHARS]
        start += MAX_PIECE_CHARS
    yield secret[start:]


def _iter_output_texts(output: Output) -> Iterator[str]:
    """Yield every text of an output that is stored."""
    yield from (output.text, *output.replies)
    yield from _iter_texts([output.data, output.metadata, output.session])
    for call in output.tool_calls:
        yield from _iter_texts([getattr(call, name) for name in _CALL_VALUES])
    for span in output.spans:
        yield from _iter_texts([getattr(span, name) for name in (*_SPAN_TEXTS, *_SPAN_VALUES)])
    if output.error is not None:
        yield from (output.error.message, output.error.detail)


def _iter_texts(value: Json) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield str(key)
            yield from _iter_texts(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _iter_texts(item)
    elif isinstance(value, int | float):
        yield str(value)


def _redact_span_by_key(span: Span) -> Span:
    return replace(span, **{name: redact_by_key(getattr(span, name)) for name in _SPAN_VALUES})


def _flag_redacted(output: Output) -> Output:
    return output if REDACTED in output.flags else replace(output, flags=(*output.flags, REDACTED))


def _redact_if_secret(match: re.Match[str]) -> str:
    return f'"{match[1]}"{match[2]}"{REPLACEMENT}"' if SECRET_KEY.search(match[1]) else match[0]
