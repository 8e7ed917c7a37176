"""What traffic is measured by: each measure as SQL over the table `facts`, one row for each request.

`evalkit/traffic/request_facts.py` makes the table. A measure is the sum of its numerator over the sum of its
denominator, so that each has its own requests in which it is known: unknown is never 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Literal, TypeAlias

from evalkit.core.errors import InvalidInput

MeasureKind: TypeAlias = Literal["rate", "value", "ratio"]
Stat: TypeAlias = Literal["mean", "p50", "p95", "p99"]

QUANTILES: dict[Stat, float] = {"p50": 0.5, "p95": 0.95, "p99": 0.99}


@dataclass(frozen=True, kw_only=True, slots=True)
class Measure:
    """A measure of traffic.

    `numerator` and `denominator` are SQL expressions over a row of `facts`. A `rate` has 0 or 1 for both,
    and is a share of the requests in which it is known. A `value` has a number for each request in which it
    is known, of which there are percentiles too. A `ratio` divides other sums. `known` is the SQL condition
    that a request has all that its measure needs.

    Args:
        name: the name in reports and thresholds.
        title: the name for people.
        better: which direction is good; empty for neither.
        unit: "" for a share, else `s`, `usd`, or `tokens`.
        meaning: what it says, in a sentence without its subject.
    """

    name: str
    kind: MeasureKind
    title: str
    numerator: str
    denominator: str
    known: str
    better: Literal["higher", "lower", ""]
    unit: str = ""
    meaning: str

    @property
    def stats(self) -> tuple[Stat, ...]:
        """The statistics that there are: the mean, and the percentiles of a value."""
        return ("mean", "p50", "p95", "p99") if self.kind == "value" else ("mean",)

    @property
    def reported_stats(self) -> tuple[Stat, ...]:
        """The statistics in reports: of tokens, percentiles say little more than the mean."""
        return ("mean",) if self.unit == "tokens" else self.stats


def _rate(
    column: str, name: str, title: str, better: Literal["higher", "lower", ""], meaning: str
) -> Measure:
    return Measure(
        name=name,
        kind="rate",
        title=title,
        numerator=f"coalesce({column}, false)::integer",
        denominator=f"({column} is not null)::integer",
        known=f"{column} is not null",
        better=better,
        meaning=meaning,
    )


def _value(
    column: str,
    title: str,
    unit: str,
    meaning: str,
    better: Literal["higher", "lower", ""] = "lower",
) -> Measure:
    return Measure(
        name=column,
        kind="value",
        title=title,
        numerator=f"coalesce({column}, 0)",
        denominator=f"({column} is not null)::integer",
        known=f"{column} is not null",
        better=better,
        unit=unit,
        meaning=meaning,
    )


MEASURES: tuple[Measure, ...] = (
    _rate("ok", "success_rate", "success", "higher", "requests that ended without an error"),
    _rate("failed", "error_rate", "errors", "lower", "requests that ended with an error"),
    _rate(
        "escalated",
        "escalation_rate",
        "handed over",
        "lower",
        "requests that were handed over to a person",
    ),
    _rate("resolved", "resolution_rate", "resolved", "higher", "requests that were resolved"),
    _rate("good", "satisfaction", "satisfied", "higher", "requests rated as good, of those rated"),
    _rate("rated", "feedback_rate", "rated", "", "requests that a user rated"),
    _rate(
        "rephrased",
        "rephrased_rate",
        "asked again",
        "lower",
        "requests that the user asked again in similar words",
    ),
    _rate(
        "objected",
        "objection_rate",
        "objected",
        "lower",
        "requests after which the user said that the answer is wrong",
    ),
    _rate(
        "abandoned",
        "abandoned_rate",
        "abandoned",
        "lower",
        "conversations that ended with an error, a repeated question, or an objection",
    ),
    _rate(
        "has_pii",
        "pii_rate",
        "personal data",
        "lower",
        "answers with personal data that the request did not have",
    ),
    _rate(
        "has_secrets",
        "secrets_rate",
        "secrets",
        "lower",
        "answers with a secret that the request did not have",
    ),
    _value("latency_s", "latency", "s", "time from the start of a request to its end"),
    _value(
        "time_to_first_token_s",
        "first token",
        "s",
        "time from the start of a request to the first token of its answer",
    ),
    _value("cost_usd", "cost of a request", "usd", "cost of the model calls of a request"),
    Measure(
        name="cost_per_success_usd",
        kind="ratio",
        title="cost of a success",
        numerator="case when ok is not null then coalesce(cost_usd, 0) else 0 end",
        denominator="(cost_usd is not null and coalesce(ok, false))::integer",
        known="cost_usd is not null and ok is not null",
        better="lower",
        unit="usd",
        meaning="cost of all requests, failed ones too, for each that succeeded",
    ),
    _value("input_tokens", "input tokens", "tokens", "tokens that models read for a request", ""),
    _value(
        "output_tokens", "output tokens", "tokens", "tokens that models wrote for a request", ""
    ),
)
"""All measures, by importance."""

_BY_NAME = {measure.name: measure for measure in MEASURES}


def find_measure(name: str) -> Measure:
    """Return the measure of this name.

    Raises:
        InvalidInput: there is none; the message names those that there are.
    """
    if name in _BY_NAME:
        return _BY_NAME[name]
    near = get_close_matches(name, _BY_NAME, n=1)
    hint = f"Did you mean {near[0]!r}? " if near else ""
    raise InvalidInput.single(
        f"{name!r} is no measure of traffic. {hint}There are: {', '.join(_BY_NAME)}."
    )


def select_sums(measures: Sequence[Measure], weight: str = "weight") -> str:
    """Return SQL for the weighted sums of numerators and denominators: columns y0, n0, y1, n1, and so on."""
    return ", ".join(
        f"sum({weight} * ({each.numerator}))::double as y{index}, "
        f"sum({weight} * ({each.denominator}))::double as n{index}"
        for index, each in enumerate(measures)
    )
