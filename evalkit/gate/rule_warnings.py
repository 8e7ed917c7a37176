"""Warn of rules that guard against the better direction, or of baselines that cannot get worse."""

from __future__ import annotations

from collections.abc import Iterator

from evalkit.compare.pairs import PairedScores
from evalkit.core.eval_set import Rule
from evalkit.core.format import format_value
from evalkit.gate.evidence import Evidence


def warn_of_direction(rule: Rule, pairs: PairedScores) -> Iterator[str]:
    """Yield a warning if a rule limits the change that is better for its metric."""
    if (rule.max_drop is not None) != pairs.info.higher_is_better:
        guarded, meant = ("drop", "max_rise") if rule.max_drop is not None else ("rise", "max_drop")
        better = "higher" if pairs.info.higher_is_better else "lower"
        yield f"{better} is better, and this rule guards against a {guarded}; was {meant} meant?"


def warn_of_blind_spot(evidence: Evidence) -> Iterator[str]:
    """Yield a warning if a pass rate was as bad as it can be before, so that it cannot get worse."""
    worst = 0.0 if evidence.scale.sign < 0 else 1.0
    if evidence.design is not None and evidence.base == worst:
        yield (
            f"the baseline is {format_value(evidence.base, '')}, so no {evidence.scale.noun} can be seen. "
            f"Record a baseline that is better, or set min or max."
        )
