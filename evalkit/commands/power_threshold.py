"""Choose the threshold to analyze, and read the passes of its metric from the baseline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

import numpy as np

from evalkit.compare.scores import CaseScores, ScoreTable
from evalkit.core.errors import InvalidInput
from evalkit.core.eval_set import EvalSet, Rule
from evalkit.stats.unchanged import BaselineNoise, measure_baseline


@dataclass(frozen=True, kw_only=True, slots=True)
class ThresholdData:
    """A threshold, and its metric per case and trial: 1 where a trial is good, else 0."""

    rule: Rule
    rows: tuple[tuple[float, ...], ...]

    @property
    def mean(self) -> float | None:
        """The mean pass rate over the cases."""
        return float(np.mean([np.mean(row) for row in self.rows])) if self.rows else None

    @property
    def noise(self) -> float | None:
        """The mean of p(1-p) over cases with two trials or more, at least what the test assumes."""
        return None if self._measured is None else self._measured.noise

    @property
    def seen_noise(self) -> float | None:
        """The same, as the trials show it."""
        return None if self._measured is None else self._measured.seen

    @property
    def _measured(self) -> BaselineNoise | None:
        return measure_baseline(self.rows)

    @property
    def base_trials(self) -> float | None:
        """The harmonic mean of the number of baseline trials per case."""
        return 1 / float(np.mean([1 / len(row) for row in self.rows])) if self.rows else None

    @property
    def silent(self) -> float:
        """The share of cases that never passed, of which a run with looks takes one trial only."""
        return sum(not any(row) for row in self.rows) / len(self.rows) if self.rows else 0.0

    @property
    def flaky(self) -> int | None:
        """The number of cases whose trials disagree."""
        return sum(0 < sum(row) < len(row) for row in self.rows) if self.rows else None


def choose_threshold(
    evalset: EvalSet, base: ScoreTable | None, metric: str | None
) -> ThresholdData:
    """Return the primary threshold on a pass rate, else the first one.

    With `metric`, return one on that metric, and assume one if the gate has none.

    Raises:
        InvalidInput: there is no such threshold, or the metric has no passes.
    """
    rules = [
        rule
        for rule in evalset.gate
        if (rule.max_drop is not None or rule.max_rise is not None)
        and rule.test == "exact"
        and rule.stat in ("mean", "rate")
        and metric in (None, rule.metric)
    ]
    if metric is not None:
        rules.append(Rule(metric=metric, stat="rate", max_drop=0.02))
    for rule in sorted(rules, key=lambda rule: not rule.primary):
        rows = _read_passes(rule, evalset, base) if base else ()
        if rows or base is None:
            return ThresholdData(rule=rule, rows=rows)
    why = (
        "no threshold compares a pass rate with the baseline (max_drop or max_rise on a metric that "
        "passes or fails)"
    )
    names = [spec.name for spec in evalset.metrics]
    if base is not None:
        names = [name for name, by_case in base.scores.items() if _has_flags(by_case)]
        why = _explain_metric(metric, names, base) if metric else why
    raise InvalidInput.single(
        f"{evalset.path}: {why.rstrip('.')}{'' if why.endswith('?') else '.'} "
        f"Name a metric with --metric: {', '.join(names)}."
    )


def _explain_metric(metric: str, usable: Sequence[str], base: ScoreTable) -> str:
    """Return why a metric cannot be analyzed, with the most similar name of one that can be."""
    if metric in base.infos:
        unit = base.infos[metric].unit
        what = f"is measured in {unit}" if unit else "does not pass or fail"
        return f"metric {metric!r} {what} in the baseline, so no pass rate of it can drop"
    near = get_close_matches(metric, usable, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    return f"no metric of the baseline is named {metric!r}.{hint}"


def _has_flags(by_case: Mapping[str, CaseScores]) -> bool:
    return any(case.flags for case in by_case.values())


def _read_passes(rule: Rule, evalset: EvalSet, base: ScoreTable) -> tuple[tuple[float, ...], ...]:
    """Return a metric's passes in the baseline, for unchanged cases; empty if it is graded."""
    digests = {case.id: case.digest for case in base.header.cases}
    scores = base.scores.get(rule.metric, {})
    found = [
        scores[case.id]
        for case in evalset.cases
        if case.id in scores
        and digests[case.id] == case.digest
        and (rule.tag is None or rule.tag in case.tags)
    ]
    rows = [case.flags if rule.stat == "rate" else case.values for case in found]
    unit = base.infos[rule.metric].unit if rule.metric in base.infos else ""
    graded = any(value not in (0.0, 1.0) for row in rows for value in row)
    if rule.stat == "mean" and (unit or graded):
        return ()
    low_is_good = rule.max_rise is not None
    return tuple(tuple(1 - v if low_is_good else v for v in row) for row in rows if row)
