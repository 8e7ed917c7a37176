"""`evalkit power`: what a set can and cannot see with a threshold, and what it would cost to see more."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from evalkit.commands.baseline import DEFAULT_BASELINE_TRIALS
from evalkit.commands.dry_run import estimate_cost
from evalkit.commands.power_curves import (
    MAX_CANDIDATE_TRIALS,
    compute_detectable_drop,
    find_size_to_certify,
    find_size_to_detect,
    with_cases,
)
from evalkit.compare.scores import CaseScores, ScoreTable, build_score_table
from evalkit.core.context import Context
from evalkit.core.errors import InvalidInput, NothingSelected, Undecidable
from evalkit.core.eval_set import Case, EvalSet, Rule
from evalkit.core.format import format_count, name_rule
from evalkit.core.project import find_project_root
from evalkit.core.run import Run
from evalkit.core.settings import Settings, merge_settings
from evalkit.evalset.loader import load_evalset
from evalkit.gate.broken_cases import (
    FRESH_TRIALS,
    explain_undecidable_breaks,
    find_detectable_breaks,
)
from evalkit.gate.population import group_by_cluster
from evalkit.gate.sequential import MAX_LOOKS, MIN_BASE_TRIALS_FOR_LOOKS
from evalkit.report.power import BrokenCasesPower, PowerAnalysis
from evalkit.stats.power import Design, DropLimits
from evalkit.store.baseline import baseline_path, read_baseline

TRIAL_COUNTS = (1, 3, MAX_CANDIDATE_TRIALS)
"""Candidate trials a case that are worth comparing."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PowerAssumptions:
    """What the user wants to be assumed in place of what set and baseline say."""

    metric: str | None = None
    cases: int | None = None
    base_trials: int | None = None
    trials: int | None = None
    noise: float | None = None
    mean: float | None = None
    drop: float | None = None
    alpha: float | None = None
    rules: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class _ThresholdData:
    """A threshold and what is known of its metric: passes per case and trial, where good is 1."""

    rule: Rule
    rows: tuple[tuple[float, ...], ...]

    @property
    def mean(self) -> float | None:
        """The mean over cases of the share that passed."""
        return float(np.mean([np.mean(row) for row in self.rows])) if self.rows else None

    @property
    def noise(self) -> float | None:
        """The unbiased mean of p(1-p) over cases with two trials or more, at least .25/n."""
        spread = [float(np.var(row, ddof=1)) for row in self.rows if len(row) > 1]
        return max(float(np.mean(spread)), 0.25 / len(spread)) if spread else None

    @property
    def base_trials(self) -> float | None:
        """Baseline trials a case, as a harmonic mean."""
        return 1 / float(np.mean([1 / len(row) for row in self.rows])) if self.rows else None

    @property
    def flaky(self) -> int | None:
        """Cases whose trials disagree."""
        return sum(0 < sum(row) < len(row) for row in self.rows) if self.rows else None


def compute_power(path: Path, assumed: PowerAssumptions, world: Context) -> PowerAnalysis:
    """Say what the set can see with its primary, or first, threshold on a pass rate.

    Raises:
        InvalidInput: the set is broken, no threshold or metric fits, or the assumptions contradict.
        Undecidable: there is no baseline that tells the noise, and none is assumed.
        StoreError, ApprovalNeeded: the baseline cannot be trusted.
    """
    evalset, problems = load_evalset(path, root=find_project_root(path.parent, world.cwd))
    if problems:
        raise InvalidInput(problems)
    if not evalset.cases:
        raise NothingSelected(f"{path}: the set has no cases.")
    stored = baseline_path(path, evalset.name)
    baseline = read_baseline(stored) if stored.exists() else None
    table = build_score_table(baseline) if baseline else None
    known = choose_threshold(evalset, table, assumed.metric)
    tag = known.rule.tag
    in_set = [case for case in evalset.cases if tag is None or tag in case.tags]
    mean, noise = _resolve_noise(known, assumed, path)
    cases = len(known.rows) or len(in_set)
    now = _with_trials(
        Design(
            cases=cases,
            base_trials=known.base_trials or DEFAULT_BASELINE_TRIALS,
            trials=1,
            mean=mean,
            noise=noise,
            clusters=_count_clusters(known.rule, in_set, cases),
        ),
        merge_settings(Settings(), evalset.settings).trials,
    )
    planned = now if assumed.cases is None else with_cases(now, assumed.cases)
    if assumed.base_trials is not None:
        planned = replace(planned, base_trials=assumed.base_trials)
    trials = assumed.trials or merge_settings(Settings(), evalset.settings).trials
    designs = _Designs(
        now=now,
        planned=_with_trials(planned, trials),
        cost_usd=estimate_cost(baseline, 1),
        has_baseline=bool(known.rows),
    )
    return replace(
        _tabulate_power(evalset, known, assumed, designs),
        broken=_compute_broken_power(evalset, table),
        notes=_notes(known, len(in_set) - _count_shared(in_set, baseline), assumed),
    )


def _with_trials(design: Design, trials: int | Literal["auto"]) -> Design:
    """The design with a fixed number of trials, or with looks where a run would take them."""
    if trials != "auto":
        return replace(design, trials=trials, looks=0)
    looks = MAX_LOOKS if design.base_trials >= MIN_BASE_TRIALS_FOR_LOOKS else 0
    return replace(design, trials=looks or 1, looks=looks)


def _count_clusters(rule: Rule, cases: Sequence[Case], counted: int) -> float | None:
    """As how many draws so many of the cases count, when it is asked about others like these.

    n**2 over the sum of the squared sizes: clusters of unequal size count as fewer (Kish 1965).
    """
    if rule.estimand != "users":
        return None
    sizes = [len(group) for group in group_by_cluster(cases)]
    return len(cases) ** 2 / sum(size**2 for size in sizes) * counted / len(cases)


def _compute_broken_power(evalset: EvalSet, base: ScoreTable | None) -> BrokenCasesPower | None:
    """What the set's rule on broken cases can prove; None without such a rule or a baseline."""
    rule = next((rule for rule in evalset.gate if rule.broken_cases is not None), None)
    if rule is None or base is None:
        return None
    known = base.cases
    ids = [c.id for c in evalset.cases if c.id in known and known[c.id].digest == c.digest]
    watch = find_detectable_breaks(base, list(base.infos), rule.alpha, ids)
    return BrokenCasesPower(
        name=name_rule(rule),
        allowed=rule.broken_cases or 0,
        cases=watch.cases,
        eligible=watch.stable_cases,
        base_trials=watch.base_trials,
        fresh_trials=FRESH_TRIALS,
        at_once=watch.max_detectable,
        chances=watch.chances,
        problem=explain_undecidable_breaks(rule, watch),
    )


def _count_shared(cases: Iterable[Case], baseline: Run | None) -> int:
    known = {case.id: case.digest for case in baseline.header.cases} if baseline else {}
    return sum(known.get(case.id) == case.digest for case in cases)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Designs:
    """What the set has, what is planned, and what one call of the agent costs."""

    now: Design
    planned: Design
    cost_usd: float | None
    has_baseline: bool


def choose_threshold(
    evalset: EvalSet, base: ScoreTable | None, metric: str | None
) -> _ThresholdData:
    """The primary threshold on a pass rate, else the first; on a named metric, an assumed one if needed.

    Raises:
        InvalidInput: there is none.
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
        rows = read_passes(rule, evalset, base) if base else ()
        if rows or base is None:
            return _ThresholdData(rule=rule, rows=rows)
    why = (
        "no threshold compares a pass rate with the baseline (max_drop or max_rise on a metric that "
        "passes or fails)"
    )
    names = [spec.name for spec in evalset.metrics]
    if base is not None:
        names = [name for name, by_case in base.scores.items() if _is_judged(by_case.values())]
        why = f"metric {metric!r} has no pass or failure in the baseline" if metric else why
    raise InvalidInput.single(
        f"{evalset.path}: {why}. Name a metric with --metric: {', '.join(names)}."
    )


def _is_judged(scores: Iterable[CaseScores]) -> bool:
    return any(case.flags for case in scores)


def read_passes(rule: Rule, evalset: EvalSet, base: ScoreTable) -> tuple[tuple[float, ...], ...]:
    """A metric's passes in the baseline, on the cases the set still has; nothing when it is graded."""
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
    turned = rule.max_rise is not None
    return tuple(tuple(1 - v if turned else v for v in row) for row in rows if row)


def _resolve_noise(
    known: _ThresholdData, assumed: PowerAssumptions, path: Path
) -> tuple[float, float]:
    """Mean and noise, what is assumed before what was seen."""
    mean = assumed.mean if assumed.mean is not None else known.mean
    noise = assumed.noise if assumed.noise is not None else known.noise
    if mean is None or noise is None:
        seen = "one trial of a case tells nothing of its noise" if known.rows else "no baseline yet"
        missing = " and ".join(
            name for name, value in (("--noise", noise), ("--mean", mean)) if value is None
        )
        raise Undecidable(
            f"{path}: {seen}. Record one of 10 trials a case: evalkit baseline {path}; or assume it "
            f"with {missing} (a noise of 0.03 to 0.15 is usual)."
        )
    most = mean * (1 - mean)
    if assumed.noise is not None and noise > most + 1e-9:
        raise InvalidInput.single(
            f"--noise {noise:g} is more than a mean of {mean:g} allows: at most {most:.4g}. "
            f"It is the mean over cases of p(1-p)."
        )
    return mean, max(noise, 1e-6)


def _tabulate_power(
    evalset: EvalSet,
    known: _ThresholdData,
    assumed: PowerAssumptions,
    designs: _Designs,
) -> PowerAnalysis:
    rule, planned = known.rule, designs.planned
    alpha = assumed.alpha if assumed.alpha is not None else rule.alpha
    rules = assumed.rules or _count_sharing(rule, evalset.gate)
    max_drop = (rule.max_drop if rule.max_drop is not None else rule.max_rise) or 0.0
    demand = DropLimits(
        alpha=alpha / rules, max_drop=max_drop, tolerated=max(max_drop, rule.margin)
    )
    trials = sorted({*TRIAL_COUNTS, *(() if planned.looks else (round(planned.trials),))})
    wanted = [designs.now, planned, *(_with_trials(planned, number) for number in trials)]
    seen = {
        design: compute_detectable_drop(
            design,
            demand,
            designs.cost_usd,
            now=designs.has_baseline and design == designs.now,
        )
        for design in dict.fromkeys(wanted)
    }
    tolerances = {max_drop, demand.tolerated, assumed.drop or 0.0} - {0.0}
    return PowerAnalysis(
        evalset=evalset.name,
        name=name_rule(rule),
        noun="rise" if rule.max_rise is not None else "drop",
        planned=seen[planned],
        mean=planned.mean,
        noise=planned.noise,
        noise_from="baseline" if assumed.noise is None else "assumed",
        flaky=known.flaky,
        alpha=alpha,
        rules=rules,
        level=demand.alpha,
        max_drop=max_drop,
        tolerated=demand.tolerated,
        clusters=planned.clusters,
        detectable_drops=tuple(
            sorted(
                seen.values(),
                key=lambda one: (one.cases, one.base_trials, not one.looks, one.trials),
            )
        ),
        wanted=find_size_to_detect(planned, demand, assumed.drop) if assumed.drop else None,
        proofs=tuple(find_size_to_certify(planned, demand, one) for one in sorted(tolerances)),
        cost_per_run_usd=designs.cost_usd,
    )


def _count_sharing(rule: Rule, gate: Sequence[Rule]) -> int:
    """Thresholds among which alpha is shared: none but itself for the primary one (Holm 1979)."""
    if rule.primary:
        return 1
    compared = (one for one in gate if one.max_drop is not None or one.max_rise is not None)
    return max(1, sum(not one.primary and one.test == "exact" for one in compared))


def _notes(known: _ThresholdData, left_out: int, assumed: PowerAssumptions) -> tuple[str, ...]:
    notes = []
    if known.rows and left_out:
        notes.append(
            f"{format_count(left_out, 'case')} of the set left out: not the same in the baseline."
        )
    if not known.rows and assumed.base_trials is None:
        notes.append(
            f"There is no baseline yet; one of {DEFAULT_BASELINE_TRIALS} trials a case is assumed, as "
            f"evalkit baseline records it."
        )
    return tuple(notes)
