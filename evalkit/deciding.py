"""A stored run, its gate and its baseline, brought together into a verdict and what to do next."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from evalkit.baseline import baseline_path, read_baseline
from evalkit.gating.gate import decide
from evalkit.gating.looks import looks_note, shard_note
from evalkit.records import Json, Rule, Run
from evalkit.refs import resolve_run
from evalkit.reports.report import Hint, Report
from evalkit.verdict import Verdict


@dataclass(frozen=True, kw_only=True, slots=True)
class BaselineChoice:
    """Which baseline a run is compared with: the set's own unless `ref` names another run.

    With `allow_missing`, thresholds that need a baseline are left out, loudly, when there is none.
    """

    ref: str | None = None
    allow_missing: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Tolerance:
    """What a run may lack and still pass; see Settings for the meaning of the fields."""

    max_errors: int = 0
    on_inconclusive: Literal["pass", "fail"] = "pass"

    @classmethod
    def of(cls, settings: Mapping[str, Json]) -> Tolerance:
        """What a stored run's settings say."""
        return cls(
            max_errors=settings.get("max_errors", 0),
            on_inconclusive=settings.get("on_inconclusive", "pass"),
        )


def read_chosen_baseline(
    choice: BaselineChoice, evalset_path: str, name: str, *, root: Path, cwd: Path
) -> Run | None:
    """The baseline a run will be compared with; None when the set has none yet.

    Raises:
        InvalidInput: the run that was named does not exist.
        StoreError, ApprovalNeeded: it exists and cannot be trusted.
    """
    own = baseline_path(root / evalset_path, name)
    if choice.ref is not None and choice.ref != "baseline":
        return resolve_run(choice.ref, root=root, cwd=cwd)
    return read_baseline(own) if own.exists() else None


def judge(
    run: Run,
    rules: Sequence[Rule],
    baseline: Run | None,
    tolerance: Tolerance,
    *,
    allow_missing: bool,
) -> Verdict:
    """Decide a run, whatever stage it stopped at; pays nothing and changes nothing."""
    notes = [*run.warnings]
    if baseline is None and allow_missing:
        left_out = [rule for rule in rules if rule.compares]
        rules = [rule for rule in rules if not rule.compares]
        if left_out:
            notes.append(
                f"NO BASELINE: {len(left_out)} thresholds that compare with it were left out. "
                f"Nothing kept this run from being worse than the last one."
            )
    verdict = decide(
        rules,
        run,
        baseline,
        max_errors=tolerance.max_errors,
        on_inconclusive=tolerance.on_inconclusive,
        baseline_problem=(
            f"there is no baseline yet. Make this run it: {accept_command(run)}; "
            f"or record 10 trials a case: evalkit baseline {shlex.quote(run.header.evalset_path)}"
        ),
    )
    looked = (looks_note(run, verdict), shard_note(run, rules, baseline))
    return replace(verdict, notes=(*filter(None, looked), *notes, *verdict.notes))


def report_on(run: Run, verdict: Verdict, baseline: Run | None) -> Report:
    """The run with its verdict and the commands that lead on from here."""
    return Report(run=run, verdict=verdict, baseline=baseline, hints=suggest(run, verdict))


def suggest(run: Run, verdict: Verdict) -> tuple[Hint, ...]:
    """The exact commands a reader is likely to want next."""
    run_id = run.header.id
    hints = []
    if not run.finished:
        hints.append(Hint(label="resume", command=resume_command(run)))
    worst = find_worst_case(run, verdict)
    if worst:
        hints.append(
            Hint(label="look closer", command=f"evalkit show {run_id} {shlex.quote(worst)}")
        )
    if verdict.comparison is not None:
        hints.append(Hint(label="all changes", command=f"evalkit diff baseline {run_id}"))
    if run.finished and not run.header.selection and not verdict.tally.errors:
        hints.append(Hint(label="accept as baseline", command=accept_command(run)))
    return tuple(hints)


def find_worst_case(run: Run, verdict: Verdict) -> str | None:
    """The case to look at first: hit hardest, else in error, else failing."""
    for check in verdict.checks:
        if check.outcome == "fail" and check.hits:
            return check.hits[0].case_id
    troubled = [trial for trial in run.trials if trial.state != "scored"]
    failed = [trial for trial in run.trials if not trial.passed]
    return next((trial.case_id for trial in (*troubled, *failed)), None)


def accept_command(run: Run) -> str:
    """The command that promotes a run."""
    return f"evalkit baseline {shlex.quote(run.header.evalset_path)} --from {run.header.id}"


def resume_command(run: Run) -> str:
    """The command that goes on with an unfinished run."""
    return f"evalkit run {shlex.quote(run.header.evalset_path)} --resume --run-id {run.header.id}"
