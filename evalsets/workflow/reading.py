"""A customer's message turned into requests: an action and an order."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass

ORDER = re.compile(r"\b([A-Z])\s?-?(\d{2})\b")
EMAIL = re.compile(r"[\w.]+@[\w.]+\w")
CITY = re.compile(r"\b(?:to|in|is(?: now)?)\s+([A-Z][a-z]+)\b")
NEXT_CLAUSE = re.compile(r"(?<=[.!?;])\s+|\s*,?\s+(?:and then|and also|and|but)\s+")

# In the order in which they are tried; one of several matches is drawn by weight.
INTENTS: tuple[tuple[str, float, re.Pattern[str]], ...] = (
    (
        "human",
        9,
        re.compile(r"\b(human|person|manager|someone real|complain\w*|lawyer)\b", re.IGNORECASE),
    ),
    (
        "address",
        4,
        re.compile(r"\b(address|moved|moving|deliver it to|send it to)\b", re.IGNORECASE),
    ),
    (
        "cancel",
        3,
        re.compile(r"\b(cancel\w*|call off|do not want|don't want|stornier\w*)\b", re.IGNORECASE),
    ),
    ("refund", 3, re.compile(r"\b(refund\w*|money back|reimburse\w*|return\w*)\b", re.IGNORECASE)),
    (
        "status",
        1,
        re.compile(r"\b(where|status|track\w*|arriv\w*|shipped|how far)\b", re.IGNORECASE),
    ),
)
NEGATED = re.compile(
    r"\b(?:do not|don't|not|never|without)\s+(?:\w+\s+)?(cancel|refund|return)\w*", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Request:
    """One request; `order` and `email` are empty if the customer gave none."""

    do: str
    order: str = ""
    email: str = ""
    city: str = ""


def read_requests(turns: Sequence[str], rng: random.Random) -> list[Request]:
    """Return the requests of the last turn, completed from the earlier turns."""
    order, email = "", ""
    for turn in turns[:-1]:
        order, email = _last(_orders_in(turn), order), _last(EMAIL.findall(turn), email)
    requests: list[Request] = []
    intent = ""
    for clause in NEXT_CLAUSE.split(turns[-1]):
        email = _last(EMAIL.findall(clause), email)
        named = _orders_in(clause)
        order = _last(named, order)
        found = _draw_intent(clause, rng)
        intent = found or intent
        if intent and (found or named):
            city = CITY.search(clause)
            requests += [
                Request(do=intent, order=each, email=email, city=city[1] if city else "")
                for each in named or [order]
            ]
    return _fill_in(requests, order, email)


def _fill_in(requests: list[Request], order: str, email: str) -> list[Request]:
    """Return an order or a city named after the request that it belongs to."""
    city = next((request.city for request in requests if request.city), "")
    filled = [Request(r.do, r.order or order, r.email or email, r.city or city) for r in requests]
    return list(dict.fromkeys(filled))


def _last(found: Sequence[str], before: str) -> str:
    return found[-1] if found else before


def _orders_in(text: str) -> list[str]:
    return [letter + digits for letter, digits in ORDER.findall(text)]


def _draw_intent(clause: str, rng: random.Random) -> str:
    kept = NEGATED.sub("", clause)
    matching = [(name, weight) for name, weight, pattern in INTENTS if pattern.search(kept)]
    if not matching:
        return ""
    names, weights = zip(*matching, strict=True)
    return str(rng.choices(names, weights)[0])
