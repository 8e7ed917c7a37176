"""What a judge replied, read strictly: a verdict on every criterion, or the reason why it is none."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence

from evalkit.agents.error_body import is_context_length_error
from evalkit.core.judgement import CriterionVerdict
from evalkit.core.literals import Json
from evalkit.core.rubric import Criterion
from evalkit.judge.judge import JudgeRequest
from evalkit.judge.prompt import key_criteria

MAX_REPLY_CHARACTERS = 200_000
_FENCE_PATTERN = re.compile(r"```(?:json|JSON)?[ \t]*\n(.*)\n```", re.DOTALL)
_BLANKS = re.compile(r"\s+")
_MAX_QUOTED_LENGTH = 80
_ERROR_LENGTH = 1000
_VERDICT_KEYS = ("evidence", "explanation", "level")


class UnusableReply(Exception):
    """A reply that is no verdict; `kind` is a stable word for the reason, the text a sentence."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class _DuplicateKey(ValueError):
    """One key twice in an object."""


def parse_verdicts(text: str, question: JudgeRequest, nonce: str) -> tuple[CriterionVerdict, ...]:
    """The verdicts of a reply, in the order of the criteria.

    The whole reply has to be the one object that was asked for; it may stand in a Markdown fence.

    Raises:
        Unusable: it is anything else.
    """
    reply = _read_object(text)
    _check_keys(reply, ("nonce", "verdicts"), "the reply")
    if reply["nonce"] != nonce:
        raise UnusableReply("wrong_nonce", "it does not repeat the number it was given.")
    criteria = key_criteria(question)
    verdicts = reply["verdicts"]
    if not isinstance(verdicts, Mapping):
        raise UnusableReply("wrong_type", "verdicts is no object.")
    _check_keys(verdicts, tuple(criteria), "verdicts")
    shown = _normalize_text(
        f"{question.answer} {question.input} {question.reference} {question.context}"
    )
    return tuple(
        _read_verdict(key, verdicts[key], criterion, shown) for key, criterion in criteria.items()
    )


def is_json_object(text: str) -> bool:
    """Whether a reply is a JSON object, be it a verdict or not."""
    try:
        _read_object(text)
    except UnusableReply as unusable:
        return unusable.kind in ("contradiction", "several_objects", "too_long")
    return True


def _read_object(text: str) -> Mapping[str, Json]:
    text = text.strip()
    if not text:
        raise UnusableReply("empty", "it is empty.")
    if len(text) > MAX_REPLY_CHARACTERS:
        raise UnusableReply("too_long", f"it has {len(text):,} characters.")
    fenced = _FENCE_PATTERN.fullmatch(text)
    body = fenced[1].strip() if fenced else text
    if not body.startswith("{"):
        if is_context_length_error(body[:_ERROR_LENGTH]):
            raise UnusableReply(
                "context_length", f"it is an error about length: {body[:_MAX_QUOTED_LENGTH]!r}."
            )
        raise UnusableReply(
            "prose", f"it is no JSON object but begins {body[:_MAX_QUOTED_LENGTH]!r}."
        )
    decoder = json.JSONDecoder(
        object_pairs_hook=_refuse_duplicates, parse_constant=_refuse_constant
    )
    try:
        value, end = decoder.raw_decode(body)
    except _DuplicateKey as twice:
        raise UnusableReply("contradiction", f"it says {str(twice)!r} twice.") from None
    except RecursionError:
        raise UnusableReply("not_json", "it is nested too deeply.") from None
    except ValueError as error:
        raise UnusableReply("not_json", f"it is no valid JSON: {error}.") from None
    rest = body[end:].strip()
    if rest.startswith("{"):
        raise UnusableReply("several_objects", "it holds more than one JSON object.")
    if rest:
        raise UnusableReply(
            "prose", f"text follows the JSON object: {rest[:_MAX_QUOTED_LENGTH]!r}."
        )
    found: Mapping[str, Json] = value
    return found


def _refuse_duplicates(pairs: Sequence[tuple[str, Json]]) -> dict[str, Json]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        raise _DuplicateKey(next(key for key in keys if keys.count(key) > 1))
    return found


def _refuse_constant(name: str) -> Json:
    raise ValueError(f"{name} is no number")


def _check_keys(value: Mapping[str, Json], wanted: Sequence[str], what: str) -> None:
    missing = ", ".join(repr(key) for key in wanted if key not in value)
    extra = ", ".join([repr(key[:_MAX_QUOTED_LENGTH]) for key in value if key not in wanted][:3])
    if missing:
        instead = f" and says {extra}" if extra else ""
        raise UnusableReply("incomplete", f"{what} lacks {missing}{instead}.")
    if extra:
        raise UnusableReply("unasked", f"{what} also says {extra}.")


def _read_verdict(key: str, value: Json, criterion: Criterion, shown: str) -> CriterionVerdict:
    if not isinstance(value, Mapping):
        raise UnusableReply("wrong_type", f"the verdict on {key} is no object.")
    _check_keys(value, _VERDICT_KEYS, f"the verdict on {key}")
    for part in _VERDICT_KEYS:
        if not isinstance(value[part], str):
            raise UnusableReply("wrong_type", f"{part} of {key} is no text.")
    level = criterion.level(value["level"])
    if level is None:
        offered = ", ".join(repr(each.name) for each in criterion.levels)
        raise UnusableReply(
            "level_not_offered",
            f"the level of {key} is {value['level'][:_MAX_QUOTED_LENGTH]!r}, and offered are {offered}.",
        )
    evidence = value["evidence"]
    return CriterionVerdict(
        criterion=criterion.name,
        level=level.name,
        value=level.value,
        evidence=evidence,
        explanation=value["explanation"],
        is_quote=_normalize_text(evidence) in shown,
    )


def _normalize_text(text: str) -> str:
    return _BLANKS.sub(" ", text).strip(" \"'“”‘’….").casefold()
