"""`evalkit false-alarms`: measure how often the gate of a set fails an unchanged agent."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import count, islice

import numpy as np

from evalkit.commands.gate_result import GatePolicy, evaluate_gate
from evalkit.commands.resamples import evaluate_resample, plan_resampling, split_trials
from evalkit.core.context import Context
from evalkit.core.errors import Interrupted, Undecidable
from evalkit.core.eval_set import Case, Rule
from evalkit.core.format import format_count, name_rule
from evalkit.core.gate_result import GateResult
from evalkit.core.literals import Outcome
from evalkit.core.run import Run
from evalkit.core.settings import merge_settings
from evalkit.evalset.project import Project
from evalkit.report.false_alarms import FalseAlarmCount, FalseAlarms
from evalkit.report.next_steps import CommandHints
from evalkit.runner.case_metrics import DEFAULT_GATE
from evalkit.runner.execute import execute
from evalkit.runner.records import Execution, RunOptions, RunRequest
from evalkit.stats.intervals import wilson_interval
from evalkit.store.baseline import baseline_path, read_baseline

DEFAULT_RESAMPLES = 200
"""Default number of resamples, which measure a rate of 5 % to about 2.5 points."""

DEFAULT_RERUNS = 10
"""Default number of runs, each at full cost: enough to detect a gate that fails half of them."""

_OUTCOMES: tuple[Outcome, ...] = ("pass", "fail", "inconclusive", "undecided")
_TAIL = 0.05


def resample_false_alarms(
    request: RunRequest, repeats: int | None, context: Context
) -> FalseAlarms:
    """Split the baseline's trials at random into baseline and candidate, and apply the gate, many times.

    Run nothing. Each time, draw the candidate's trials of every case without replacement, and use the rest
    as its baseline. If there are enough trials, the candidate takes looks, and fresh trials of cases that
    newly fail, as a run would.

    Raises:
        InvalidInput: the set is broken.
        Undecidable: there is no baseline, or it has too few trials to split.
        StoreError, ApprovalNeeded: the baseline cannot be trusted.
    """
    evalset = Project.open(context, request.path).load_valid(request.path)
    settings = merge_settings(evalset.settings, request.overrides)
    rules = evalset.gate or DEFAULT_GATE
    stored_run = _read_own_baseline(request, evalset.name)
    base = _select_cases(stored_run, evalset.cases, rules)
    resampling = plan_resampling(settings, rules, base)
    stored = base.header.trials
    if resampling.trials >= stored:
        raise Undecidable(
            f"{request.path}: the baseline has {format_count(stored, 'trial')} a case. The candidate takes "
            f"{resampling.trials}, which leaves none to compare with. Record more (evalkit baseline {request.path}), "
            f"draw fewer (--trials), or run the agent (--run)."
        )
    rng = np.random.default_rng(settings.seed)
    draws = split_trials(base, resampling.trials + resampling.fresh, rng)
    decided = [
        evaluate_resample(rest, pool, resampling, settings)
        for rest, pool in islice(draws, repeats or DEFAULT_RESAMPLES)
    ]
    results = (one.gate_result for one in decided)
    gate_count, rule_counts = _count_false_alarms(results, resampling.rules)
    rest_trials = stored - resampling.trials - resampling.fresh
    left_out = len(evalset.cases) - len(base.header.cases)
    shared = f"{rest_trials} as baseline and {resampling.description}"
    notes = [
        f"The {stored} stored trials of each case were split at random each time, {shared}.",
        *resampling.notes,
        "The interval covers only the random split: other stored trials would give other numbers.",
    ]
    if left_out:
        notes.append(
            f"{format_count(left_out, 'case')} of the set left out: not the same in the baseline."
        )
    return FalseAlarms(
        evalset=evalset.name,
        from_runs=False,
        cases=len(base.header.cases),
        base_trials=rest_trials,
        trials=resampling.trials,
        mean_trials=sum(one.trials for one in decided) / len(decided),
        seed=settings.seed,
        gate=gate_count,
        rules=rule_counts,
        notes=tuple(notes),
    )


def _read_own_baseline(request: RunRequest, name: str) -> Run:
    path = baseline_path(request.path, name)
    if not path.exists():
        raise Undecidable(
            f"{request.path}: there is no baseline to compare an unchanged agent with. "
            f"Record 10 trials per case: evalkit baseline {request.path}"
        )
    return read_baseline(path)


def _select_cases(base: Run, cases: Sequence[Case], rules: Sequence[Rule]) -> Run:
    """Return the baseline with only the unchanged cases of the set, in the set's order.

    Keep only tags that a threshold uses: no result depends on the others, and summaries by tag take most of
    the time.
    """
    known = {case.id: case.digest for case in base.header.cases}
    gate_tags = {rule.tag for rule in rules} | {
        tag for rule in rules for tag in rule.must_pass or ()
    }
    kept = tuple(
        replace(case, tags=tuple(tag for tag in case.tags if tag in gate_tags))
        for case in cases
        if known.get(case.id) == case.digest
    )
    ids = {case.id for case in kept}
    if not kept:
        raise Undecidable("no case of the set is the same in the baseline. Record a new baseline.")
    return replace(
        base,
        header=replace(base.header, cases=kept),
        trials=tuple(trial for trial in base.trials if trial.case_id in ids),
    )


def rerun_false_alarms(request: RunRequest, repeats: int | None, context: Context) -> FalseAlarms:
    """Run the unchanged agent against its baseline several times, as `evalkit run` would.

    Store every run like any other. Each has its own seed, which differs from the baseline's.

    Raises:
        Interrupted: by a signal; the finished runs are stored.
        Undecidable: there is no baseline, or agent or judge could not be reached.
        EvalkitError: as a run.
    """
    project = Project.open(context, request.path)
    evalset = project.load_valid(request.path)
    base = _read_own_baseline(request, evalset.name)
    settings = merge_settings(evalset.settings, request.overrides)
    rules = evalset.gate or DEFAULT_GATE
    recorded = base.header.settings.get("seed")
    policy = GatePolicy(max_errors=settings.max_errors, on_inconclusive=settings.on_inconclusive)
    hints = CommandHints.of(project)
    # The baseline's own seed would repeat its random draws.
    seeds = (seed for seed in count(settings.seed) if seed != recorded)
    made: list[Run] = []

    def run_each() -> Iterator[GateResult]:
        for seed in islice(seeds, repeats or DEFAULT_RERUNS):
            again = replace(request, overrides=replace(request.overrides, seed=seed))
            execution = execute(again, RunOptions(), project, context, lambda _: base)
            _refuse_early_end(execution, len(made))
            made.append(execution.run)
            yield evaluate_gate(execution.run, rules, execution.baseline, policy, hints)

    gate_count, rule_counts = _count_false_alarms(run_each(), rules)
    notes = [f"{format_count(len(made), 'run')} stored; the first is {made[0].header.id}."]
    before, now = base.header.agent_version, made[0].header.agent_version
    if before != now:
        notes.append(
            f"The baseline is of version {before!r}, and these runs are of {now!r}. If the agents "
            f"differ, a failure is not a false alarm."
        )
    return FalseAlarms(
        evalset=evalset.name,
        from_runs=True,
        cases=len(made[0].header.cases),
        base_trials=base.header.trials,
        trials=max(run.header.trials for run in made),
        mean_trials=sum(run.header.mean_trials for run in made) / len(made),
        seed=settings.seed,
        gate=gate_count,
        rules=rule_counts,
        notes=tuple(notes),
    )


def _refuse_early_end(execution: Execution, done: int) -> None:
    if execution.stopped_by is not None:
        raise Interrupted(
            f"interrupted after {format_count(done, 'run')}; finished trials are stored.",
            execution.stopped_by,
        )
    if execution.unreachable:
        raise Undecidable(
            f"stopped after {format_count(done, 'run')}: the agent could not be reached."
        )
    if execution.out_of_money:
        raise Undecidable(
            f"stopped after {format_count(done, 'run')}, because {execution.out_of_money}."
        )
    if execution.judge_down:
        raise Undecidable(
            f"stopped after {format_count(done, 'run')}: no judge answers any more ({execution.judge_down})."
        )


def _count_false_alarms(
    results: Iterable[GateResult], rules: Sequence[Rule]
) -> tuple[FalseAlarmCount, tuple[FalseAlarmCount, ...]]:
    """Count the outcomes of the gate and of each threshold."""
    gate: Counter[Outcome] = Counter()
    single: list[Counter[Outcome]] = [Counter() for _ in rules]
    for result in results:
        gate[result.outcome] += 1
        for counter, check in zip(single, result.checks, strict=True):
            counter[check.outcome] += 1
    return _build_false_alarm_count("the gate", gate, None), tuple(
        _build_false_alarm_count(name_rule(rule), counter, rule)
        for rule, counter in zip(rules, single, strict=True)
    )


def _build_false_alarm_count(
    name: str, outcomes: Mapping[Outcome, int], rule: Rule | None
) -> FalseAlarmCount:
    repeats = sum(outcomes.values())
    low, high = wilson_interval(outcomes.get("fail", 0) / repeats, repeats, _TAIL)
    return FalseAlarmCount(
        name=name,
        outcomes={outcome: outcomes.get(outcome, 0) for outcome in _OUTCOMES},
        low=low,
        high=high,
        level=rule.alpha if rule is not None and rule.is_tested else None,
    )
