"""The decisions of the shipped gate on many runs at once, with the shipped weights and laws.

`evalkit.gate.paired` decides one run. Thousands of runs with the same numbers of trials share their
characteristic functions, so that a whole cell of the calibration takes seconds. `check_against_gate`
holds a sample of the decisions to those of the shipped code.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from evalkit.compare.paired_scores import PairedScores
from evalkit.core.eval_set import Case, Rule
from evalkit.gate.evidence import decide_paired
from evalkit.gate.paired import measure_change
from evalkit.gate.sequential import adjust_rule_for_look
from evalkit.gate.simulation import pair_at_look
from evalkit.stats.distributions import Bools, Floats, Ints
from evalkit.stats.exchange_test import (
    WeightFunction,
    drop_weights,
    net_alpha_factor,
    net_weights,
    plain_weights,
    rerun_pmf,
)
from evalkit.stats.group_sequential import LOOK_TRIALS
from evalkit.stats.power import LEANING_ALPHA, z_quantile

_BATCH = 4_000_000
"""Complex numbers in memory at a time."""
_TINY = 1e-200
_REFINEMENTS = 20


@dataclass(frozen=True, kw_only=True)
class DrawnRuns:
    """Baselines and candidates: `base` has passes, shape (runs, cases); `candidate` (runs, cases, trials)."""

    base: Ints
    base_trials: int
    candidate: Bools


@dataclass(frozen=True, kw_only=True)
class Decisions:
    """Which runs failed and passed, and their candidate trials per case: arrays of shape (runs,)."""

    failed: Bools
    passed: Bools
    trials: Floats


@dataclass(frozen=True, kw_only=True)
class _Look:
    """The runs at one look: trials of every case, those the mean counts, and the marks of the choice."""

    base: Ints
    base_trials: int
    passed: Ints
    trials: Ints
    counted_passed: Ints
    counted_trials: Ints
    marked: Ints


def _take_look(runs: DrawnRuns, trials: int, *, chooses: bool) -> _Look:
    base, first = runs.base, runs.candidate[:, :, 0].astype(np.int64)
    every = runs.candidate[:, :, :trials].sum(axis=2)
    known = base > 0
    again = known | (first > 0) if chooses else np.ones_like(known)
    known = known if chooses else again
    passed = np.where(again, every, first)
    total = base + passed
    matters = again & (total < trials) & (total > 0) & (chooses and trials > 1)
    return _Look(
        base=base,
        base_trials=runs.base_trials,
        passed=passed,
        trials=np.where(again, trials, 1),
        counted_passed=np.where(known, every, first),
        counted_trials=np.where(known, trials, 1),
        marked=np.where(matters, total, 0),
    )


def mid_p_values(look: _Look, weigh: WeightFunction) -> Floats:
    """Return the exact mid-p of every run, by multiplying the transforms of its cases."""
    m, weights = look.base_trials, weigh(look.base_trials)
    most = int(look.trials.max()) + m + 1
    keys = (look.trials * most + look.base + look.passed) * most + look.marked
    kinds, flat = np.unique(keys, return_inverse=True)
    index = flat.reshape(keys.shape)
    counts = np.stack([np.bincount(row, minlength=kinds.size) for row in index]).astype(float)
    lows, masses = [], []
    for key in kinds.tolist():
        rest, marked = divmod(key, most)
        trials, total = divmod(rest, most)
        pmf = rerun_pmf(m, trials, total, marked, marked)
        possible = np.flatnonzero(pmf)
        values = weights[total - possible]
        lows.append(int(values.min()))
        masses.append(np.bincount(values - values.min(), weights=pmf[possible]))
    spans = counts @ np.array([mass.size - 1 for mass in masses])
    length = 1 << max(1, int(spans.max()).bit_length())
    transforms = np.stack([np.fft.rfft(mass, length) for mass in masses])
    logs = np.log(np.where(np.abs(transforms) < _TINY, _TINY, transforms))
    observed = (weights[look.base].sum(axis=1) - counts @ np.array(lows)).astype(np.int64)
    found = np.empty(observed.size)
    step = max(1, _BATCH // length)
    for start in range(0, observed.size, step):
        part = slice(start, start + step)
        mass = np.fft.irfft(np.exp(counts[part] @ logs), length, axis=1)
        tail = np.cumsum(mass[:, ::-1], axis=1)[:, ::-1]
        rows = np.arange(mass.shape[0])
        found[part] = tail[rows, observed[part]] - mass[rows, observed[part]] / 2
    return found.clip(0, 1)


def _decide_look(look: _Look, rule: Rule) -> tuple[Bools, Bools]:
    cases, m = look.base.shape[1], look.base_trials
    rates = look.base / m
    harm = (rates - look.counted_passed / look.counted_trials).mean(axis=1)
    total = m + look.trials
    pooled = (look.base + look.passed) / total
    variances = total / (total - 1) * pooled * (1 - pooled)
    noise = np.maximum(variances.mean(axis=1), 0.25 / cases)
    shares = variances + 0.25 / cases
    per_trial = (shares / look.counted_trials).sum(axis=1) / shares.sum(axis=1)
    mean, square = rates.mean(axis=1), rates.mean(axis=1) - noise
    z = z_quantile(rule.alpha)
    bound = harm + z * np.sqrt(noise * (per_trial + 1 / m) / cases)
    for _ in range(_REFINEMENTS):
        kept = 1 - np.clip(bound, 0, mean) / np.maximum(mean, _TINY)
        after = np.maximum(noise, kept * (mean - kept * square))
        bound = harm + z * np.sqrt(
            (np.where(mean > 0, after, noise) * per_trial + noise / m) / cases
        )
    drop, net, plain = (mid_p_values(look, w) for w in (drop_weights, net_weights, plain_weights))
    p_value = np.maximum(drop, net / net_alpha_factor(np.array([m])))
    limit = rule.max_drop or 0.0
    suspected = (harm >= limit - 1e-9) & (plain <= LEANING_ALPHA)
    failed = suspected & (p_value <= rule.alpha)
    return failed, (bound < max(limit, rule.margin)) & ~suspected & ~failed


def decide_fixed(runs: DrawnRuns, rule: Rule, trials: int) -> Decisions:
    """Decide all runs after so many trials of every case, at the full alpha."""
    failed, passed = _decide_look(_take_look(runs, trials, chooses=False), rule)
    return Decisions(failed=failed, passed=passed, trials=np.full(failed.size, float(trials)))


def decide_by_looks(runs: DrawnRuns, rule: Rule) -> Decisions:
    """Decide all runs with looks, as `--trials auto` does; cases that never passed take one trial."""
    size = runs.base.shape[0]
    failed, passed, taken = np.zeros(size, dtype=bool), np.zeros(size, dtype=bool), np.zeros(size)
    left = np.arange(size)
    for trials in LOOK_TRIALS:
        look = _take_look(
            DrawnRuns(
                base=runs.base[left], base_trials=runs.base_trials, candidate=runs.candidate[left]
            ),
            trials,
            chooses=trials > 1,
        )
        at_look = adjust_rule_for_look(rule, LOOK_TRIALS[-1], trials)
        failed[left], passed[left] = _decide_look(look, at_look)
        taken[left] = look.trials.mean(axis=1)
        left = np.flatnonzero(~(failed | passed))
        if not left.size:
            break
    return Decisions(failed=failed, passed=passed, trials=taken)


def decide_one(runs: DrawnRuns, index: int, rule: Rule, trials: int | None) -> tuple[str, float]:
    """Return what the shipped code decides on one run, and its trials per case; None takes looks."""
    cases = tuple(Case(id=str(number), input="?") for number in range(runs.base.shape[1]))
    base = np.arange(runs.base_trials) < runs.base[index][:, np.newaxis]
    outcome, taken = "inconclusive", 0.0
    for look in LOOK_TRIALS if trials is None else (trials,):
        at_look = rule if trials else adjust_rule_for_look(rule, LOOK_TRIALS[-1], look)
        pairs: PairedScores = pair_at_look(
            cases, base, runs.candidate[index][:, :look], chooses=trials is None
        )
        outcome = decide_paired(measure_change(at_look, pairs))
        extra = sum(len(each.extra) for each in pairs.reruns)
        taken = (sum(map(len, pairs.candidate)) + extra) / len(cases)
        if outcome != "inconclusive":
            break
    return outcome, taken


def check_against_gate(
    runs: DrawnRuns, found: Decisions, rule: Rule, trials: int | None, sample: Sequence[int]
) -> None:
    """Raise AssertionError if the shipped code decides one of these runs otherwise."""
    for index in sample:
        outcome, taken = decide_one(runs, index, rule, trials)
        here = "fail" if found.failed[index] else "pass" if found.passed[index] else "inconclusive"
        assert (outcome, round(taken, 6)) == (here, round(float(found.trials[index]), 6)), index


Decide = Callable[[DrawnRuns, Rule], Decisions]
