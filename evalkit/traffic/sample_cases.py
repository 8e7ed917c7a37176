"""Turn sampled requests into cases: redacted again, conversations as turns, near-duplicates left out."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from evalkit.core.eval_set import Turn
from evalkit.core.literals import Json
from evalkit.core.serialization import digest
from evalkit.core.unicode_form import to_ascii_letters
from evalkit.evalset.fields import find_label_problem
from evalkit.traffic.columns import Row
from evalkit.traffic.known_cases import METHOD, KnownCases
from evalkit.traffic.message_text import list_messages
from evalkit.traffic.redaction import TrafficRedactor
from evalkit.traffic.sampling import Sample, SampledRequest

MAX_TURNS = 40
"""Turns of a case. Of a longer conversation, the last ones are kept."""

MIN_WORDS = 5
"""A question of so many words at the end of a conversation is a near-duplicate by itself; a shorter one, such
as `And by when?`, only with what was said before."""

NO_ANSWER = "no answer"
NO_CONTEXT = "no context"
CASE = "case"

_SLUG_CHARS = 40
_ID_DIGITS = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class SampledCase:
    """A case made of a request. `answer` is what the agent answered; empty if it did not."""

    id: str
    input: str | tuple[Turn, ...]
    answer: str
    tags: tuple[str, ...]
    cluster: str
    provenance: Mapping[str, Json]
    context: str = ""
    row: Row = field(default_factory=dict)


class RequestVerdict(NamedTuple):
    """What became of a sampled request, and what decided it; see `SAMPLE_COLUMNS`."""

    verdict: str
    decided_by: str = "evalkit"


def build_cases(
    sample: Sample, traffic: str, redactor: TrafficRedactor, known: KnownCases
) -> tuple[list[SampledCase], list[RequestVerdict]]:
    """Return the cases of a sample, and the verdict on each of its requests, in the same order.

    A near-duplicate of a known case, or of an earlier case of the sample, is left out.
    """
    cases: list[SampledCase] = []
    verdicts: list[RequestVerdict] = []
    for request, turns in _iter_conversations(sample):
        case = _build_case(request, turns, sample, traffic, redactor)
        question, last = _join_user_turns(case.input), turns[-1].content
        near = known.find_near(question)
        if near is None and len(last.split()) >= MIN_WORDS:
            near = known.find_near(last)
        if near is not None:
            text = f"near-duplicate of {near.case} ({near.similarity:.2f})"
            verdicts.append(RequestVerdict(text, METHOD))
            continue
        for text in {question, last}:
            known.add(case.id, text)
        cases.append(case)
        verdicts.append(RequestVerdict(CASE))
    return cases, verdicts


def build_answered_cases(
    sample: Sample,
    traffic: str,
    redactor: TrafficRedactor,
    contexts: Mapping[str, str],
    *,
    needs_context: bool,
) -> tuple[list[SampledCase], list[RequestVerdict]]:
    """Return the requests with an answer as cases to be judged, and the verdict on each request.

    `contexts` has by request what its tools and retrievals returned. If the judge `needs_context`, requests
    without any are left out.
    """
    cases: list[SampledCase] = []
    verdicts: list[RequestVerdict] = []
    for request, turns in _iter_conversations(sample):
        if not str(request.row["output"] or "").strip():
            verdicts.append(RequestVerdict(NO_ANSWER))
            continue
        context = contexts.get(request.row["request_id"], "")
        if needs_context and not context:
            verdicts.append(RequestVerdict(NO_CONTEXT))
            continue
        cases.append(_build_case(request, turns, sample, traffic, redactor, context))
        verdicts.append(RequestVerdict(CASE))
    return cases, verdicts


def _iter_conversations(sample: Sample) -> Iterator[tuple[SampledRequest, tuple[Turn, ...]]]:
    """Yield each request with the turns before and including its question.

    They are those of its messages. A request that has only its own question gets the earlier requests of
    its session that were answered.
    """
    earlier: dict[str, list[Turn]] = {}
    for request in sample.requests:
        row = request.row
        before = earlier.setdefault(request.unit, [])
        turns = _read_messages(row)
        if len(turns) < 2:
            turns = (*before, Turn(role="user", content=row["input"]))
        yield request, turns[-MAX_TURNS:]
        # A question without an answer is left out: the agent would be asked it again.
        if str(row["output"] or "").strip():
            before += (
                Turn(role="user", content=row["input"]),
                Turn(role="assistant", content=row["output"]),
            )


def _read_messages(row: Row) -> tuple[Turn, ...]:
    """Return the messages up to the last one of the user; those of one speaker in a row are one turn."""
    turns: list[Turn] = []
    for role, text in list_messages(row["messages"]):
        if turns and turns[-1].role == role:
            turns[-1] = Turn(role=turns[-1].role, content=f"{turns[-1].content}\n\n{text}")
        else:
            turns.append(Turn(role="user" if role == "user" else "assistant", content=text))
    while turns and turns[-1].role != "user":
        turns.pop()
    return tuple(turns)


def _build_case(  # noqa: PLR0913, PLR0917 - what a case is made of
    request: SampledRequest,
    turns: Sequence[Turn],
    sample: Sample,
    traffic: str,
    redactor: TrafficRedactor,
    context: str = "",
) -> SampledCase:
    row = request.row
    redacted = _begin_with_user(
        [Turn(role=turn.role, content=redactor.redact_text(turn.content)) for turn in turns]
    )
    question = redacted[-1].content
    source = str(row["request_id"])
    unit = redactor.pseudonym("session", row["session"]) if row["session"] else source
    user = redactor.pseudonym("user", row["user"]) if row["user"] else ""
    provenance: dict[str, Json] = {
        "traffic": traffic,
        "request": source,
        "day": str(row["day"]),
        "version": row["version"] or "",
        "sample": sample.id,
        "stratum": request.stratum,
        "pi": round(request.chance, 9),
    }
    return SampledCase(
        id=_make_id(question, source),
        input=question if len(redacted) == 1 else tuple(redacted),
        answer=redactor.redact_text(row["output"] or ""),
        tags=("traffic", *request.reasons),
        cluster=_make_label(user or unit),
        provenance=provenance,
        context=redactor.redact_text(context),
        row=row,
    )


def _begin_with_user(turns: list[Turn]) -> list[Turn]:
    """Return the turns from the first one of the user: a cut conversation may begin with an answer."""
    first = next(place for place, turn in enumerate(turns) if turn.role == "user")
    return turns[first:]


def _join_user_turns(asked: str | tuple[Turn, ...]) -> str:
    if isinstance(asked, str):
        return asked
    return " ".join(turn.content for turn in asked if turn.role == "user")


def _make_id(question: str, source: str) -> str:
    """Return an id of the first words of the question, and a digest of the request."""
    words = re.findall(r"[a-z0-9]+", to_ascii_letters(question.casefold()))
    slug = "-".join(words)
    if len(slug) > _SLUG_CHARS:
        slug = slug[: _SLUG_CHARS + 1].rpartition("-")[0] or slug[:_SLUG_CHARS]
    return f"{slug or 'request'}-{digest(source)[:_ID_DIGITS]}"


def _make_label(text: str) -> str:
    return digest(text)[:16] if find_label_problem(text) else text
