"""Describe the judges of a run in words: who they are, what their calls used, how they did on controls."""

from __future__ import annotations

from typing import Protocol

from evalkit.core.format import format_count, format_value
from evalkit.core.judgement import JudgeTrust
from evalkit.core.run import Run


class JudgeCalls(Protocol):
    """A record of the calls of judges. `cached_tokens` are a part of `input_tokens`."""

    @property
    def calls(self) -> int:
        """How many calls there were."""

    @property
    def input_tokens(self) -> int:
        """The tokens of all requests."""

    @property
    def cached_tokens(self) -> int:
        """The input tokens that a provider had cached."""

    @property
    def cost_usd(self) -> float | None:
        """The cost in USD; None if it is not known."""


def judge_text(trust: JudgeTrust) -> str:
    """Return the judges, their calls and cost, and their results on controls and anchors."""
    parts = [", then ".join(trust.judges) or "no judge was called"]
    if trust.models:
        parts.append(f"answering as {' and '.join(trust.models)}")
    parts += describe_calls(trust)
    if trust.cached_verdicts:
        parts.append(describe_cached(trust.cached_verdicts, trust.verdicts))
    if trust.controls:
        passed = sum(result.held is True for result in trust.controls)
        parts.append(f"{passed} of {format_count(len(trust.controls), 'control')} passed")
    if excused := sum(result.wrong for result in trust.controls if result.held):
        parts.append(f"{format_count(excused, 'wrong answer')} to them, too few to distrust it")
    if trust.lost_controls:
        parts.append(f"{len(trust.lost_controls)} could not be judged")
    if anchors := [agreed for result in trust.anchors for agreed in result.agreed.values()]:
        total = format_count(len(anchors), "anchor")
        parts.append(f"agreed with people on {sum(anchors)} of {total}")
    return ", ".join(parts)


def describe_cached(cached: int, verdicts: int) -> str:
    """Return how many verdicts are from the cache."""
    return f"{cached:,} of {format_count(verdicts, 'verdict')} from the cache"


def describe_cached_verdicts(run: Run) -> str:
    """Return how many verdicts of a run are from the cache; empty if none is."""
    scores = (score for trial in (*run.trials, *run.fresh) for score in trial.scores)
    # Those that needed no judge have no digest.
    found = [each.is_cached for score in scores if (each := score.judgement) and each.digest]
    return describe_cached(sum(found), len(found)) if any(found) else ""


def describe_calls(judged: JudgeCalls) -> list[str]:
    """Return the calls, their input tokens with the share from a provider's cache, and their cost."""
    parts = []
    if judged.calls:
        parts.append(format_count(judged.calls, "call"))
    if judged.input_tokens:
        parts.append(f"{judged.input_tokens:,} tokens in")
    if judged.cached_tokens:
        share = judged.cached_tokens / max(judged.input_tokens, judged.cached_tokens)
        parts.append(f"{share:.0%} from the provider's cache")
    if judged.cost_usd is not None:
        parts.append(format_value(judged.cost_usd, "usd"))
    return parts
