"""Split a baseline's trials at random, and apply the gate to one part as an unchanged agent."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from evalkit.core.eval_set import Rule
from evalkit.core.format import format_count
from evalkit.core.gate_result import GateResult
from evalkit.core.run import Run
from evalkit.core.settings import Settings
from evalkit.core.trial import Trial
from evalkit.gate import broken_cases as broken
from evalkit.gate.next_stage import decide_stage
from evalkit.gate.sequential import MIN_BASE_TRIALS_FOR_LOOKS, find_most_trials
from evalkit.stats.group_sequential import list_looks
from evalkit.store.runs import assemble_run


@dataclass(frozen=True, kw_only=True, slots=True)
class ResamplingPlan:
    """How many stored trials per case the candidate takes: trials or looks, and fresh trials.

    `rules` are those that so many trials can decide.
    """

    rules: tuple[Rule, ...]
    trials: int
    looks: int = 0
    fresh: int = 0
    notes: tuple[str, ...] = ()

    @property
    def description(self) -> str:
        """A description of the trials to draw."""
        candidate = f"up to {self.trials}" if self.looks else str(self.trials)
        fresh = f", and {self.fresh} for cases that newly fail" if self.fresh else ""
        return f"{candidate} as candidate{fresh}"


def plan_resampling(settings: Settings, rules: Sequence[Rule], base: Run) -> ResamplingPlan:
    """Plan the split so that the baseline keeps enough trials; note what there are too few trials for."""
    stored, trials, looks = base.header.trials, settings.first_trials, 0
    notes = []
    wanted = find_most_trials(rules, base) if settings.trials == "auto" else 0
    if wanted:
        looks = max(list_looks(stored - MIN_BASE_TRIALS_FOR_LOOKS), default=1)
        trials = looks = min(wanted, looks)
        if looks < wanted:
            notes.append(
                f"A run may take {wanted} trials per case, but "
                f"{format_count(stored, 'stored trial')} a case allow only {looks}."
            )
    kept, fresh = tuple(rules), 0
    pairwise = {info.name for info in base.header.metrics if info.is_pairwise}
    if left_out := sorted({rule.metric for rule in rules if rule.metric in pairwise}):
        kept = tuple(rule for rule in rules if rule.metric not in pairwise)
        notes.append(
            f"{', '.join(left_out)} is left out: a judge would have to compare the answers of every "
            "split. Measure it with --run."
        )
    # Fresh trials need a minimal baseline after the candidate has taken its trials.
    if any(rule.broken_cases is not None for rule in rules):
        needed = trials + broken.FRESH_TRIALS + broken.MIN_BASE_TRIALS
        fresh = broken.FRESH_TRIALS
        if stored < needed:
            kept, fresh = tuple(rule for rule in kept if rule.broken_cases is None), 0
            notes.append(
                f"broken_cases is left out: it needs {needed} stored trials per case, and there are "
                f"{stored}. Measure it with --run."
            )
    return ResamplingPlan(rules=kept, trials=trials, looks=looks, fresh=fresh, notes=tuple(notes))


class ResampledResult(NamedTuple):
    """The result on drawn trials, and the mean number of trials per case."""

    gate_result: GateResult
    trials: float


def evaluate_resample(
    rest: Run, pool: Run, resampling: ResamplingPlan, settings: Settings
) -> ResampledResult:
    """Apply the gate stage by stage, as in a run, but take the trials from `pool`."""
    header = replace(
        pool.header,
        gate=resampling.rules,
        trials=1 if resampling.looks else resampling.trials,
        looks=resampling.looks,
        counted={},
        extra={},
    )
    while True:
        taken = [
            trial
            for trial in pool.trials
            if trial.number < header.trials + header.fresh.get(trial.case_id, 0)
        ]
        stage = decide_stage(
            resampling.rules,
            assemble_run(header, taken),
            rest,
            max_errors=settings.max_errors,
            on_inconclusive=settings.on_inconclusive,
        )
        if stage.next_header is None:
            return ResampledResult(stage.gate_result, header.mean_trials)
        header = stage.next_header


def split_trials(run: Run, trials: int, rng: np.random.Generator) -> Iterator[tuple[Run, Run]]:
    """Yield random splits without end: a baseline, and a candidate with `trials` trials per case."""
    by_case: dict[str, list[Trial]] = {case.id: [] for case in run.header.cases}
    for trial in run.trials:
        by_case[trial.case_id].append(trial)
    while True:
        rest: list[Trial] = []
        candidate: list[Trial] = []
        for rows in by_case.values():
            order = rng.permutation(len(rows)).tolist()
            candidate += _renumber(rows[index] for index in order[:trials])
            rest += _renumber(rows[index] for index in order[trials:])
        yield (
            _with_trials(run, rest, run.header.trials - trials),
            _with_trials(run, candidate, trials),
        )


def _renumber(trials: Iterable[Trial]) -> list[Trial]:
    return [replace(trial, number=number) for number, trial in enumerate(trials)]


def _with_trials(run: Run, trials: Sequence[Trial], each: int) -> Run:
    return replace(run, header=replace(run.header, trials=each), trials=tuple(trials))
