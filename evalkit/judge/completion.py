"""The record of one call to a judge model."""

from __future__ import annotations

from dataclasses import dataclass, replace

from evalkit.agents.chat_content import classify_finish


@dataclass(frozen=True, kw_only=True, slots=True)
class Completion:
    """The result of one call with all its attempts; `error_kind` is set when there was no reply.

    `objection_kind` and `objection` say why the text is not to be counted, whatever it is.
    """

    text: str = ""
    finish_reason: str = "stop"
    refusal: str = ""
    model: str = ""
    fingerprint: str = ""
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    cost_usd: float | None = None
    calls: int = 1
    error_kind: str = ""
    error: str = ""
    objection_kind: str = ""
    objection: str = ""

    @property
    def is_whole(self) -> bool:
        """Whether the model finished its reply and did not refuse."""
        return not self.refusal and classify_finish(self.finish_reason) == "normal"

    def with_usage(self, *spent: Completion) -> Completion:
        """Return this completion with the sum of the calls, tokens and costs of `spent` instead of its own."""
        costs = [each.cost_usd for each in spent if each.cost_usd is not None]
        return replace(
            self,
            calls=sum(each.calls for each in spent),
            input_tokens=sum(each.input_tokens for each in spent),
            output_tokens=sum(each.output_tokens for each in spent),
            cached_tokens=sum(each.cached_tokens for each in spent),
            cost_usd=sum(costs) if costs else None,
        )
