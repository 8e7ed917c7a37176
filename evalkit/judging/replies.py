"""What a judge replied, read strictly: a verdict on every criterion, or the reason why it is none."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence

from evalkit.judgement import CriterionVerdict
from evalkit.judging.prompt import keyed_criteria
from evalkit.judging.question import Question
from evalkit.records import Json
from evalkit.rubric import Criterion

MAX_REPLY_CHARACTERS = 200_000
_FENCED = re.compile(r"```(?:json|JSON)?[ \t]*\n(.*)\n```", re.DOTALL)
_TOO_LONG = re.compile(
    r"context_length_exceeded|context length|context window|prompt is too long|too many (input )?tokens",
    re.IGNORECASE,
)
_BLANKS = re.compile(r"\s+")
_SHOWN = 80
_ERROR_LENGTH = 1000
_PARTS = ("evidence", "explanation", "level")


class Unusable(Exception):
    """A reply that is no verdict; `kind` is a stable word for the reason, the text a sentence."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class _Duplicate(ValueError):
    """One key twice in an object."""


def read_reply(text: str, question: Question, nonce: str) -> tuple[CriterionVerdict, ...]:
    """The verdicts of a reply, in the order of the criteria.

    The whole reply has to be the one object that was asked for; it may stand in a Markdown fence.

    Raises:
        Unusable: it is anything else.
    """
    reply = _read_object(text)
    _check_keys(reply, ("nonce", "verdicts"), "the reply")
    if reply["nonce"] != nonce:
        raise Unusable("wrong_nonce", "it does not repeat the number it was given.")
    criteria = keyed_criteria(question)
    verdicts = reply["verdicts"]
    if not isinstance(verdicts, Mapping):
        raise Unusable("wrong_type", "verdicts is no object.")
    _check_keys(verdicts, tuple(criteria), "verdicts")
    shown = _fold(f"{question.answer} {question.input} {question.reference} {question.context}")
    return tuple(
        _read_verdict(key, verdicts[key], criterion, shown) for key, criterion in criteria.items()
    )


def is_too_long_for_model(said: str) -> bool:
    """Whether an endpoint says that it was given more than its model can read."""
    return bool(_TOO_LONG.search(said))


def holds_object(text: str) -> bool:
    """Whether a reply is a JSON object, be it a verdict or not."""
    try:
        _read_object(text)
    except Unusable as unusable:
        return unusable.kind in ("contradiction", "several_objects", "too_long")
    return True


def _read_object(text: str) -> Mapping[str, Json]:
    text = text.strip()
    if not text:
        raise Unusable("empty", "it is empty.")
    if len(text) > MAX_REPLY_CHARACTERS:
        raise Unusable("too_long", f"it has {len(text):,} characters.")
    fenced = _FENCED.fullmatch(text)
    body = fenced[1].strip() if fenced else text
    if not body.startswith("{"):
        if is_too_long_for_model(body[:_ERROR_LENGTH]):
            raise Unusable("context_length", f"it is an error about length: {body[:_SHOWN]!r}.")
        raise Unusable("prose", f"it is no JSON object but begins {body[:_SHOWN]!r}.")
    decoder = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_refuse_constant)
    try:
        value, end = decoder.raw_decode(body)
    except _Duplicate as twice:
        raise Unusable("contradiction", f"it says {str(twice)!r} twice.") from None
    except RecursionError:
        raise Unusable("not_json", "it is nested too deeply.") from None
    except ValueError as error:
        raise Unusable("not_json", f"it is no valid JSON: {error}.") from None
    rest = body[end:].strip()
    if rest.startswith("{"):
        raise Unusable("several_objects", "it holds more than one JSON object.")
    if rest:
        raise Unusable("prose", f"text follows the JSON object: {rest[:_SHOWN]!r}.")
    found: Mapping[str, Json] = value
    return found


def _unique(pairs: Sequence[tuple[str, Json]]) -> dict[str, Json]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        raise _Duplicate(next(key for key in keys if keys.count(key) > 1))
    return found


def _refuse_constant(name: str) -> Json:
    raise ValueError(f"{name} is no number")


def _check_keys(value: Mapping[str, Json], wanted: Sequence[str], what: str) -> None:
    missing = ", ".join(repr(key) for key in wanted if key not in value)
    extra = ", ".join([repr(key[:_SHOWN]) for key in value if key not in wanted][:3])
    if missing:
        instead = f" and says {extra}" if extra else ""
        raise Unusable("incomplete", f"{what} lacks {missing}{instead}.")
    if extra:
        raise Unusable("unasked", f"{what} also says {extra}.")


def _read_verdict(key: str, value: Json, criterion: Criterion, shown: str) -> CriterionVerdict:
    if not isinstance(value, Mapping):
        raise Unusable("wrong_type", f"the verdict on {key} is no object.")
    _check_keys(value, _PARTS, f"the verdict on {key}")
    for part in _PARTS:
        if not isinstance(value[part], str):
            raise Unusable("wrong_type", f"{part} of {key} is no text.")
    level = criterion.level(value["level"])
    if level is None:
        offered = ", ".join(repr(each.name) for each in criterion.levels)
        raise Unusable(
            "level_not_offered",
            f"the level of {key} is {value['level'][:_SHOWN]!r}, and offered are {offered}.",
        )
    evidence = value["evidence"]
    return CriterionVerdict(
        criterion=criterion.name,
        level=level.name,
        value=level.value,
        evidence=evidence,
        explanation=value["explanation"],
        is_quote=_fold(evidence) in shown,
    )


def _fold(text: str) -> str:
    return _BLANKS.sub(" ", text).strip(" \"'“”‘’….").casefold()
