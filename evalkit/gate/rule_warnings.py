"""Warn of rules that guard against the better direction, or of baselines that cannot get worse."""

from __future__ import annotations

from collections.abc import Iterator

from evalkit.compare.paired_scores import PairedScores
from evalkit.core.eval_set import Rule
from evalkit.core.format import format_value


def warn_of_direction(rule: Rule, pairs: PairedScores) -> Iterator[str]:
    """Yield a warning if a rule limits the change that is better for its metric."""
    if (rule.max_drop is not None) != pairs.info.higher_is_better:
        guarded, meant = ("drop", "max_rise") if rule.max_drop is not None else ("rise", "max_drop")
        better = "higher" if pairs.info.higher_is_better else "lower"
        yield f"{better} is better, and this rule guards against a {guarded}; was {meant} meant?"


def warn_of_blind_spot(rule: Rule, base: float) -> Iterator[str]:
    """Yield a warning if the pass rate `base` is as bad as it can be, so that it cannot get worse."""
    worst, noun = (0.0, "drop") if rule.max_drop is not None else (1.0, "rise")
    if base == worst:
        yield (
            f"the baseline is {format_value(base, '')}, so no {noun} can be seen. "
            f"Record a baseline that is better, or set min or max."
        )
