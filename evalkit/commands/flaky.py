"""`evalkit show --flaky`: how often the cases of a run pass, over all their stored trials."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from math import comb

from evalkit.ci.base import BaseGate, load_comparison_baseline
from evalkit.commands.stored_runs import read_history
from evalkit.compare.pairs import compare_runs
from evalkit.compare.scores import build_score_table, mean
from evalkit.core.context import Context
from evalkit.core.errors import Undecidable
from evalkit.core.run import Run, RunHeader
from evalkit.evalset.project import Project
from evalkit.report.flaky import CaseFlakiness, Flakiness, RunFlakiness
from evalkit.store.baseline import baseline_path
from evalkit.store.refs import BaselineChoice, choose_stored_baseline, resolve_run

PASS_COUNTS = (2, 3, 5, 10)
"""The values of k for which pass^k is reported (tau-bench, Yao et al. 2024)."""


def chance_all_pass(passed: int, trials: int, k: int) -> float:
    """Return the unbiased estimate of the chance that k trials of a case all pass, for k <= trials.

    It is C(passed, k) / C(trials, k), the estimator of tau-bench.
    """
    return comb(passed, k) / comb(trials, k)


def _flip_rate(counts: Iterable[tuple[int, int]]) -> float | None:
    """Return the share of pairs of trials of one version in which exactly one passed."""
    counted = list(counts)
    pairs = sum(comb(trials, 2) for _, trials in counted)
    return sum(c * (m - c) for c, m in counted) / pairs if pairs else None


def compute_flakiness(ref: str, context: Context) -> Flakiness:
    """Count the passes of a run's cases: in the run, the baseline, and the newest runs of the set.

    A trial counts if its case has the same digest and the same metrics as in the run, and if all
    its metrics have a score.

    Raises:
        InvalidInput, StoreError, ApprovalNeeded: no such run, or it cannot be read.
        Undecidable: none of its trials is scored.
    """
    project = Project.open(context)
    run = resolve_run(ref, root=project.root, cwd=project.cwd)
    stored, notes = read_history(run, project.root)
    counts = {one.header.id: count_case_passes(one, run.header) for one in stored}
    if not counts[run.header.id]:
        raise Undecidable(f"run {run.header.id} has no trial that is completely scored.")
    by_version: dict[str, dict[str, tuple[int, int]]] = defaultdict(dict)
    for one in stored:
        known = by_version[_version_key(one.header)]
        for case_id, (passed, trials) in counts[one.header.id].items():
            before = known.get(case_id, (0, 0))
            known[case_id] = (before[0] + passed, before[1] + trials)
    flaky = _find_flaky_cases(run, project)
    return Flakiness(
        run=run.header.id,
        evalset=run.header.evalset,
        cases=tuple(
            _build_case_flakiness(
                case.id,
                [known[case.id] for known in by_version.values() if case.id in known],
                is_flaky=case.id in flaky,
            )
            for case in run.header.cases
        ),
        runs=tuple(
            _build_run_flakiness(one.header, counts[one.header.id])
            for one in stored
            if counts[one.header.id]
        ),
        notes=tuple(notes),
    )


def _find_flaky_cases(run: Run, project: Project) -> set[str]:
    """Return the cases that a report of the run calls flaky, compared with its baseline."""
    own = baseline_path(project.root / run.header.evalset_path, run.header.evalset)
    choice = choose_stored_baseline(run, BaselineChoice(allow_missing=True))
    baseline = load_comparison_baseline(choice, own, BaseGate(), project, run=run)
    # Compared with itself, a run has the flaky cases of its own trials.
    compared = compare_runs(run if baseline is None else baseline, run)
    return {change.case_id for change in compared.cases if change.flaky}


def count_case_passes(run: Run, other: RunHeader) -> dict[str, tuple[int, int]]:
    """Return passes and trials by case id, for cases that are the same in another run."""
    digests = {case.id: case.digest for case in other.cases}
    table = build_score_table(run)
    counts = {}
    for case in run.header.cases:
        if digests.get(case.id) == case.digest and (trials := table.scored_trials(case.id)):
            counts[case.id] = (sum(trial.passed for trial in trials), len(trials))
    return counts


def _version_key(header: RunHeader) -> str:
    """Return a key for the agent's version; without a commit, each run is its own version."""
    if not header.git_commit:
        return header.id
    return f"{header.agent_version}/{header.agent_digest}/{header.source_digest}"


def _build_case_flakiness(
    case_id: str, counts: Sequence[tuple[int, int]], *, is_flaky: bool
) -> CaseFlakiness:
    passed, trials = (sum(column) for column in zip(*counts, strict=True)) if counts else (0, 0)
    return CaseFlakiness(
        case_id=case_id,
        passed=passed,
        trials=trials,
        flip_rate=_flip_rate(counts),
        all_pass={k: chance_all_pass(passed, trials, k) for k in PASS_COUNTS if k <= trials},
        flaky=is_flaky,
    )


def _build_run_flakiness(header: RunHeader, counts: Mapping[str, tuple[int, int]]) -> RunFlakiness:
    fewest = min(trials for _, trials in counts.values())
    flips = [rate for one in counts.values() if (rate := _flip_rate([one])) is not None]
    return RunFlakiness(
        run=header.id,
        agent_version=header.agent_version,
        created=header.created,
        trials=header.trials,
        cases=len(counts),
        pass_rate=mean(passed / trials for passed, trials in counts.values()),
        flip_rate=mean(flips) if flips else None,
        all_pass={
            k: mean(chance_all_pass(passed, trials, k) for passed, trials in counts.values())
            for k in PASS_COUNTS
            if k <= fewest
        },
    )
