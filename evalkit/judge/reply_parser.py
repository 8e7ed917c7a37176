"""Parse a judge's reply strictly: return a verdict on every criterion, or raise the reason."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from evalkit.agents.chat_errors import is_context_length_text
from evalkit.core.json_text import RepeatedKey, parse_leading_json
from evalkit.core.judgement import CriterionVerdict
from evalkit.core.literals import Json
from evalkit.core.markdown_fence import read_single_block
from evalkit.core.rubric import Criterion
from evalkit.judge.evidence import find_evidence_problem
from evalkit.judge.judge import JudgeRequest, key_criteria
from evalkit.judge.thoughts import strip_reasoning

MAX_REPLY_CHARS = 200_000
_AROUND = " \t\r\n\v\f\ufeff"
_JSON_INFOS = ("", "json", "JSON", "Json")
_MAX_QUOTED_CHARS = 80
_MAX_ERROR_CHARS = 1000
_VERDICT_KEYS = ("evidence", "explanation", "level")


class UnusableReply(Exception):
    """A reply without a valid verdict; `kind` is a stable name of the reason, and the text a sentence.

    The text is sent to the judge, which gets one more chance, so a changed text changes the prompt.
    """

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


def parse_verdicts(text: str, request: JudgeRequest, nonce: str) -> tuple[CriterionVerdict, ...]:
    """Return the verdicts of a reply, in the order of the criteria.

    The whole reply must be the one object that was asked for. It may be in a Markdown fence.

    Raises:
        UnusableReply: it is anything else.
    """
    reply = _read_object(text)
    _check_keys(reply, ("nonce", "verdicts"), "the reply")
    if reply["nonce"] != nonce:
        raise UnusableReply("wrong_nonce", "it does not repeat the number it was given.")
    criteria = key_criteria(request)
    verdicts = reply["verdicts"]
    if not isinstance(verdicts, Mapping):
        raise UnusableReply("wrong_type", "verdicts is no object.")
    _check_keys(verdicts, tuple(criteria), "verdicts")
    found = [_read_verdict(key, verdicts[key], criterion) for key, criterion in criteria.items()]
    # After all verdicts are read: a broken one is worth more words than a wrong quotation.
    for key, verdict in zip(criteria, found, strict=True):
        if problem := find_evidence_problem(verdict.evidence, request):
            raise UnusableReply("evidence_not_quoted", f"the evidence for {key} {problem}.")
    return tuple(found)


def is_json_object(text: str) -> bool:
    """Return whether a reply is a JSON object, whether or not it holds verdicts."""
    try:
        _read_object(text)
    except UnusableReply as unusable:
        return unusable.kind in ("contradiction", "several_objects", "too_long")
    return True


def _read_object(text: str) -> Mapping[str, Json]:
    if len(text) > MAX_REPLY_CHARS:
        raise UnusableReply("too_long", f"it has {len(text):,} characters.")
    text = strip_reasoning(text.strip(_AROUND)).strip(_AROUND)
    if not text:
        raise UnusableReply("empty", "it is empty.")
    block = read_single_block(text)
    is_json_block = block is not None and "".join(block.info.split()[:1]) in _JSON_INFOS
    body = block.content.strip() if block and is_json_block else text
    if not body.startswith("{"):
        begin = body[:_MAX_QUOTED_CHARS]
        # Some endpoints report an error as the text of a reply.
        if is_context_length_text(body[:_MAX_ERROR_CHARS]):
            raise UnusableReply("context_length", f"it is an error about length: {begin!r}.")
        raise UnusableReply("prose", f"it is no JSON object but begins {begin!r}.")
    try:
        value, rest = parse_leading_json(body)
    except RepeatedKey as repeated:
        raise UnusableReply("contradiction", f"it says {repeated.key!r} twice.") from None
    except ValueError as error:
        raise UnusableReply("not_json", f"it is no valid JSON: {error}.") from None
    rest = rest.strip()
    if rest.startswith("{"):
        raise UnusableReply("several_objects", "it holds more than one JSON object.")
    if rest:
        raise UnusableReply("prose", f"text follows the JSON object: {rest[:_MAX_QUOTED_CHARS]!r}.")
    found: Mapping[str, Json] = value
    return found


def _check_keys(value: Mapping[str, Json], wanted: Sequence[str], what: str) -> None:
    missing = ", ".join(repr(key) for key in wanted if key not in value)
    extra = ", ".join([repr(key[:_MAX_QUOTED_CHARS]) for key in value if key not in wanted][:3])
    if missing:
        instead = f" and says {extra}" if extra else ""
        raise UnusableReply("incomplete", f"{what} lacks {missing}{instead}.")
    if extra:
        raise UnusableReply("unasked", f"{what} also says {extra}.")


def _read_verdict(key: str, value: Json, criterion: Criterion) -> CriterionVerdict:
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
            f"the level of {key} is {value['level'][:_MAX_QUOTED_CHARS]!r}, and offered are {offered}.",
        )
    return CriterionVerdict(
        criterion=criterion.name,
        level=level.name,
        value=level.value,
        evidence=value["evidence"],
        explanation=value["explanation"],
    )
