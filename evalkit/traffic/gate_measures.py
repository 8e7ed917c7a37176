"""The measures of traffic, as SQL over requests with the ratings of each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True, slots=True)
class Measure:
    """One measure: the sum of `numerator` over the sum of `denominator`, SQL over the table of facts."""

    name: str
    kind: Literal["rate", "value"]
    numerator: str
    denominator: str
    better: Literal["higher", "lower"]
    unit: str = ""
    from_feedback: bool = False

    @property
    def has_quantiles(self) -> bool:
        """Whether a request has a value of it."""
        return self.kind == "value"

    @property
    def is_share(self) -> bool:
        """Whether it is a share from 0 to 1."""
        return self.kind == "rate"


def _rate(
    name: str, flag: str, better: Literal["higher", "lower"], *, from_feedback: bool = False
) -> Measure:
    return Measure(
        name=name, kind="rate", numerator=f"coalesce(({flag})::int, 0)",
        denominator=f"(({flag}) is not null)::int", better=better, from_feedback=from_feedback,
    )  # fmt: skip


def _value(name: str, value: str, unit: str) -> Measure:
    return Measure(
        name=name, kind="value", numerator=f"coalesce({value}, 0)",
        denominator=f"({value} is not null)::int", better="lower", unit=unit,
    )  # fmt: skip


MEASURES = {
    each.name: each
    for each in (
        _rate("success_rate", "ok", "higher"),
        _rate("error_rate", "not ok", "lower"),
        _rate("escalation_rate", "escalated", "lower"),
        _rate("resolution_rate", "resolved", "higher"),
        _rate("satisfaction", "good", "higher", from_feedback=True),
        _rate("feedback_rate", "rated", "higher", from_feedback=True),
        _value("latency_s", "latency_ms / 1000", "s"),
        _value("time_to_first_token_s", "ttft_ms / 1000", "s"),
        _value("cost_usd", "cost_usd", "usd"),
        _value("input_tokens", "input_tokens", "tokens"),
        _value("output_tokens", "output_tokens", "tokens"),
    )
}


def facts_sql(maturity_h: float) -> str:
    """Return SQL for the requests with their ratings."""
    return f"""
    select requests.*, ratings.good, ratings.request_id is not null as rated
    from requests left join (
        select feedback.request_id, avg(good::int) >= 0.5 as good
        from feedback join requests as rated using (request_id)
        where good is not null and feedback.source = 'user'
          and feedback.ts <= rated.ts + interval {maturity_h} hour
        group by 1
    ) as ratings using (request_id)
    """  # noqa: S608 - a number
