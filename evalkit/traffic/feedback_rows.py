"""Make rows of the table feedback: who rated what, and whether the rating is good."""

from __future__ import annotations

import hashlib

from evalkit.core.literals import Json
from evalkit.traffic.columns import Row
from evalkit.traffic.field_values import as_flag, as_label, as_number, as_user

_RATERS = {
    "user": ("user", "api", "app", "end_user", "thumbs", "explicit"),
    "reviewer": ("annotation", "human", "reviewer", "expert", "manual"),
    "judge": ("eval", "llm", "judge", "model", "llm_judge", "ai_judge"),
    "code": ("code", "auto_eval", "heuristic", "programmatic", "function"),
}
_RATER_OF = {word: rater for rater, words in _RATERS.items() for word in words}

_GOOD = [
    "thumbs_up",
    "thumbsup",
    "thumbs-up",
    "up",
    "like",
    "liked",
    "positive",
    "good",
    "helpful",
    "correct",
    "pass",
    "passed",
    "satisfied",
    "great",
    "👍",
]
_BAD = [
    "thumbs_down",
    "thumbsdown",
    "thumbs-down",
    "down",
    "dislike",
    "disliked",
    "negative",
    "bad",
    "unhelpful",
    "incorrect",
    "fail",
    "failed",
    "unsatisfied",
    "wrong",
    "👎",
]
_RATINGS = ("thumb", "feedback", "like", "satisf", "csat", "rating", "helpful")
"""Parts of names whose value has a known direction: more is better."""


def make_feedback(  # noqa: PLR0913 - the parts of one record
    *,
    source: str,
    time_us: int | None,
    name: Json,
    rater: Json,
    value: Json = None,
    label: Json = None,
    comment: Json = None,
    **target: Json,
) -> Row:
    """Return a row of feedback.

    `target` may have trace_id, span_id, session, feedback_id, and updated_us. `rater` is a word of any
    library for who rated.
    """
    words = as_label(name) or "feedback"
    trace, span = as_label(target.get("trace_id")), as_label(target.get("span_id"))
    number = float(value) if isinstance(value, bool) else as_number(value)
    shown = as_label(label)
    if shown is None and number is None:
        shown = as_label(value)
    given = as_label(target.get("feedback_id"))
    session = as_user(target.get("session"))
    # Without an id, an equal rating at the same time is the same rating.
    identity = given or f"{trace}/{span}/{session}/{words}/{time_us}/{number}/{shown}"
    row: Row = {
        "feedback_id": f"{source}:{given or hashlib.sha256(identity.encode()).hexdigest()[:24]}",
        "request_id": f"{source}:{trace}" if trace else None,
        "session": session,
        "target_span": span,
        "ts": time_us,
        "name": words,
        "source": _RATER_OF.get((as_label(rater) or "user").lower(), "user"),
        "value": number,
        "label": shown,
        "comment": as_label(comment),
        "good": _read_direction(words, number, shown),
        "updated_at": target.get("updated_us") or time_us,
    }
    return {key: each for key, each in row.items() if each is not None}


def _read_direction(name: str, value: float | None, label: str | None) -> bool | None:
    """Return whether a rating is good; None where its words and its scale do not say so.

    A label such as `thumbs_down` says it. A number or a truth value says it only under a name such as
    `user_feedback`, because more toxicity is not better; and only if the number is -1, 0, or 1, because
    the middle of other scales is not known.
    """
    word = (label or "").strip().lower().replace(" ", "_")
    if word in _GOOD or word in _BAD:
        return word in _GOOD
    if not any(part in name.lower() for part in _RATINGS):
        return None
    if value in (-1, 0, 1):
        return value == 1
    return as_flag(label) if value is None else None
