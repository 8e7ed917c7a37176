"""`evalkit power`: which drops a set can detect, and what it takes to detect smaller ones."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from evalkit.commands.budget import allot_budget
from evalkit.commands.power_curves import (
    MAX_CANDIDATE_TRIALS,
    compute_detectable_drop,
    find_size_to_certify,
    find_size_to_detect,
    with_cases,
)
from evalkit.commands.power_design import (
    count_clusters,
    count_sharing,
    get_limits,
    with_trials,
)
from evalkit.commands.power_threshold import ThresholdData, choose_threshold
from evalkit.compare.scores import ScoreTable, build_score_table
from evalkit.core.context import Context
from evalkit.core.errors import InvalidInput, NothingSelected, Undecidable
from evalkit.core.eval_set import Case, EvalSet
from evalkit.core.format import format_count, name_rule
from evalkit.core.run import Run
from evalkit.core.run_budget import NO_LIMIT, BudgetLimit
from evalkit.core.settings import DEFAULT_BASELINE_TRIALS, merge_settings
from evalkit.evalset.project import Project
from evalkit.gate.broken_cases import (
    FRESH_TRIALS,
    explain_undecidable_breaks,
    find_detectable_breaks,
)
from evalkit.report.power import BrokenCasesPower, PowerAnalysis
from evalkit.runner.preflight import estimate_cost
from evalkit.stats.power import Design
from evalkit.store.baseline import baseline_path, read_baseline

TRIAL_COUNTS = (1, 3, MAX_CANDIDATE_TRIALS)
"""Numbers of candidate trials per case to compare."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PowerAssumptions:
    """Values that the user assumes instead of those of the set and its baseline."""

    metric: str | None = None
    cases: int | None = None
    base_trials: int | None = None
    trials: int | None = None
    noise: float | None = None
    mean: float | None = None
    drop: float | None = None
    alpha: float | None = None
    rules: int | None = None
    budget: BudgetLimit = NO_LIMIT


def compute_power(path: Path, assumed: PowerAssumptions, context: Context) -> PowerAnalysis:
    """Analyze what the set can detect with its primary, or first, threshold on a pass rate.

    Raises:
        InvalidInput: the set is broken, no threshold or metric fits, or the assumptions contradict each other.
        Undecidable: no baseline shows the noise, and none is assumed.
        StoreError, ApprovalNeeded: the baseline cannot be trusted.
    """
    project = Project.open(context, path)
    evalset = project.load_valid(path)
    if not evalset.cases:
        raise NothingSelected(f"{path}: the set has no cases. Add some under `cases:`.")
    stored = baseline_path(path, evalset.name)
    baseline = read_baseline(stored) if stored.exists() else None
    table = build_score_table(baseline) if baseline else None
    known = choose_threshold(evalset, table, assumed.metric)
    tag = known.rule.tag
    cases_in_set = [case for case in evalset.cases if tag is None or tag in case.tags]
    mean, noise = _resolve_noise(known, assumed, path)
    cases = len(known.rows) or len(cases_in_set)
    trials = merge_settings(evalset.settings).trials
    now = with_trials(
        Design(
            cases=cases,
            base_trials=known.base_trials or DEFAULT_BASELINE_TRIALS,
            trials=1,
            mean=mean,
            noise=noise,
            clusters=count_clusters(known.rule, cases_in_set, cases),
            silent=known.silent,
            seen_noise=known.seen_noise if assumed.noise is None else None,
        ),
        trials,
    )
    # Assumptions change the planned design, never the current one.
    planned = now if assumed.cases is None else with_cases(now, assumed.cases)
    if assumed.base_trials is not None:
        planned = replace(planned, base_trials=assumed.base_trials)
    designs = _Designs(
        now=now,
        planned=with_trials(planned, assumed.trials or trials),
        cost_usd=estimate_cost(baseline, 1),
        has_baseline=bool(known.rows),
    )
    return replace(
        _tabulate_power(evalset, known, assumed, designs),
        broken=_compute_broken_power(evalset, table),
        budget=allot_budget(assumed.budget, evalset, baseline, project, metric=assumed.metric)
        if assumed.budget
        else None,
        notes=_notes(known, len(cases_in_set) - _count_shared(cases_in_set, baseline), assumed),
    )


def _compute_broken_power(evalset: EvalSet, base: ScoreTable | None) -> BrokenCasesPower | None:
    """Return what the set's broken_cases rule can prove; None without such a rule or a baseline."""
    rule = next((rule for rule in evalset.gate if rule.broken_cases is not None), None)
    if rule is None or base is None:
        return None
    known = base.cases
    ids = [c.id for c in evalset.cases if c.id in known and known[c.id].digest == c.digest]
    found = find_detectable_breaks(base, list(base.infos), rule.alpha, ids)
    return BrokenCasesPower(
        name=name_rule(rule),
        allowed=rule.broken_cases or 0,
        cases=found.cases,
        eligible=found.stable_cases,
        base_trials=found.base_trials,
        fresh_trials=FRESH_TRIALS,
        at_once=found.max_detectable,
        chances=found.chances,
        problem=explain_undecidable_breaks(rule, found),
    )


def _count_shared(cases: Iterable[Case], baseline: Run | None) -> int:
    known = {case.id: case.digest for case in baseline.header.cases} if baseline else {}
    return sum(known.get(case.id) == case.digest for case in cases)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Designs:
    """The current design, the planned one, and the cost of one trial."""

    now: Design
    planned: Design
    cost_usd: float | None
    has_baseline: bool


def _resolve_noise(
    known: ThresholdData, assumed: PowerAssumptions, path: Path
) -> tuple[float, float]:
    """Return mean and noise. Assumed values override measured ones."""
    mean = assumed.mean if assumed.mean is not None else known.mean
    noise = assumed.noise if assumed.noise is not None else known.noise
    if mean is None or noise is None:
        why = "one trial per case does not show the noise" if known.rows else "no baseline yet"
        missing = " and ".join(
            name for name, value in (("--noise", noise), ("--mean", mean)) if value is None
        )
        raise Undecidable(
            f"{path}: {why}. Record a baseline of 10 trials per case: evalkit baseline {path}; or assume "
            f"values with {missing} (a noise of 0.03 to 0.15 is usual)."
        )
    most = mean * (1 - mean)
    if assumed.noise is not None and noise > most + 1e-9:
        raise InvalidInput.single(
            f"--noise {noise:g} is more than a mean of {mean:g} allows: at most {most:.4g}. "
            f"It is the mean over cases of p(1-p)."
        )
    return mean, max(noise, 1e-6)


def _tabulate_power(
    evalset: EvalSet, known: ThresholdData, assumed: PowerAssumptions, designs: _Designs
) -> PowerAnalysis:
    rule, planned = known.rule, designs.planned
    alpha = assumed.alpha if assumed.alpha is not None else rule.alpha
    rules = assumed.rules or count_sharing(rule, evalset.gate)
    limits, proof = get_limits(rule, alpha, rules), get_limits(rule, alpha, 1)
    trials = sorted({*TRIAL_COUNTS, *(() if planned.looks else (round(planned.trials),))})
    wanted = [designs.now, planned, *(with_trials(planned, number) for number in trials)]
    drops = {
        design: compute_detectable_drop(
            design,
            limits,
            designs.cost_usd,
            now=designs.has_baseline and design == designs.now,
            proof=proof,
        )
        for design in dict.fromkeys(wanted)
    }
    tolerated = {limits.max_drop, limits.tolerated, assumed.drop or 0.0} - {0.0}
    return PowerAnalysis(
        evalset=evalset.name,
        name=name_rule(rule),
        noun="rise" if rule.max_rise is not None else "drop",
        planned=drops[planned],
        mean=planned.mean,
        noise=planned.noise,
        noise_from="baseline" if assumed.noise is None else "assumed",
        flaky=known.flaky,
        alpha=alpha,
        rules=rules,
        level=limits.alpha,
        max_drop=limits.max_drop,
        tolerated=limits.tolerated,
        clusters=planned.clusters,
        detectable_drops=tuple(
            sorted(
                drops.values(),
                key=lambda one: (one.cases, one.base_trials, not one.looks, one.trials),
            )
        ),
        wanted=find_size_to_detect(planned, limits, assumed.drop) if assumed.drop else None,
        proofs=tuple(find_size_to_certify(planned, proof, one) for one in sorted(tolerated)),
        cost_per_run_usd=designs.cost_usd,
    )


def _notes(known: ThresholdData, left_out: int, assumed: PowerAssumptions) -> tuple[str, ...]:
    notes = []
    if known.rows and left_out:
        notes.append(
            f"{format_count(left_out, 'case')} of the set left out: not the same in the baseline."
        )
    if not known.rows and assumed.base_trials is None:
        notes.append(
            f"There is no baseline yet. The default of evalkit baseline is assumed: "
            f"{DEFAULT_BASELINE_TRIALS} trials per case."
        )
    return tuple(notes)
