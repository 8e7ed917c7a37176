"""Pool the stored runs of an agent version into one run with all their trials."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from evalkit.core.errors import StoreError
from evalkit.core.files import path_exists
from evalkit.core.format import format_count
from evalkit.core.run import Run, RunHeader
from evalkit.core.spans import CACHED, Span
from evalkit.core.trial import Trial
from evalkit.store.refs import find_version_folders, resolve_run
from evalkit.store.run_spans import read_run_spans
from evalkit.store.runs import SUMMARY_FILE, read_header, read_run
from evalkit.store.span_file import SpansByTrial

_MAX_RUNS = 100
_MAX_NAMED_RUNS = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class ComparedSide:
    """One side of a comparison: a single run, or several runs of a version pooled into one.

    `pooled` has the runs behind a pooled run, oldest first. `notes` say what was pooled, what was left
    out, and why.
    """

    run: Run
    pooled: tuple[Run, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def run_ids(self) -> tuple[str, ...]:
        """The ids of the runs that the trials are from."""
        return tuple(run.header.id for run in self.pooled) or (self.run.header.id,)

    def read_spans(self) -> SpansByTrial:
        """Return the spans of the trials by case id and by the number of the trial in `run`.

        Raises:
            StoreError: the spans cannot be read, or are not those that the run wrote.
        """
        spans: dict[tuple[str, int], tuple[Span, ...]] = {}
        offsets: Counter[str] = Counter()
        for run in self.pooled or (self.run,):
            for (case_id, number), steps in read_run_spans(run).items():
                # Trials of an earlier run that its means leave out have the numbers of a later run.
                spans[case_id, number + offsets[case_id]] = steps
            offsets.update(run.header.counted_trials())
        return spans


def resolve_side(ref: str, *, root: Path, cwd: Path, same_set_as: RunHeader | None) -> ComparedSide:
    """Return the run that `ref` names; for a version, all complete runs that can be pooled.

    If the version has runs of several sets, the set of `same_set_as` is preferred.

    Raises:
        InvalidInput: no run, or more than one, has that name.
        StoreError, ApprovalNeeded: the run exists but cannot be trusted.
    """
    folders = find_version_folders(ref, root=root, cwd=cwd)
    found = [(folder, read_header(folder)) for folder in folders]
    if same_set_as is not None:
        path = same_set_as.evalset_path
        found = [each for each in found if each[1].evalset_path == path] or found
    whole = [each for each in found if not _is_partial_run(*each)]
    if not whole:
        if found:  # only partial runs: as in every command, a version means its newest run
            return ComparedSide(run=read_run(found[-1][0]))
        return ComparedSide(run=resolve_run(ref, root=root, cwd=cwd, same_set_as=same_set_as))
    path = whole[-1][1].evalset_path
    of_set = [each for each in found if each[1].evalset_path == path]
    whole = [each for each in whole if each[1].evalset_path == path]
    kept, left_out = _choose_poolable(whole)
    if parts := len(of_set) - len(whole):
        left_out.append(
            f"{format_count(parts, 'run')} that did not finish or selected only some cases"
        )
    runs, broken = _read_runs(kept)
    return pool_runs(ref, runs, [*left_out, *broken])


def _is_partial_run(folder: Path, header: RunHeader) -> bool:
    return bool(header.selection or header.shard) or not path_exists(folder / SUMMARY_FILE)


def _choose_poolable(found: Sequence[tuple[Path, RunHeader]]) -> tuple[list[Path], list[str]]:
    """Return the runs that can be pooled with the newest one, and why the others cannot.

    Outputs that were scored several times count once.
    """
    newest = found[-1][1]
    origins = {header.id: header.scored_from for _, header in found}
    kept: list[Path] = []
    reasons: dict[str, list[str]] = {}
    used: set[str] = set()
    for folder, header in reversed(found):
        origin = _find_origin(header.id, origins)
        reason = _not_poolable_reason(header, newest)
        if not reason and origin in used:
            reason = "its outputs count once, as they were last scored"
        if not reason and len(kept) >= _MAX_RUNS:
            reason = f"only the newest {_MAX_RUNS} are read"
        if reason:
            reasons.setdefault(reason, []).append(header.id)
            continue
        used.add(origin)
        kept.append(folder)
    return kept[::-1], [f"{_format_run_ids(ids)}: {reason}" for reason, ids in reasons.items()]


def _find_origin(run_id: str, origins: dict[str, str]) -> str:
    """Return the run that called the agent, through any number of runs that scored its outputs again."""
    visited: set[str] = set()  # edited headers could refer to each other in a cycle
    while origins.get(run_id) and run_id not in visited:
        visited.add(run_id)
        run_id = origins[run_id]
    return run_id


def _not_poolable_reason(header: RunHeader, newest: RunHeader) -> str:
    """Return why a run of a version cannot be pooled with the newest run; empty if it can."""
    if header is newest:
        return ""
    if (header.agent_digest, header.source_digest) != (newest.agent_digest, newest.source_digest):
        return "the agent, or code around it, was different under the same label"
    if newest.agent_kind == "recorded":
        return "recorded answers are the same in every run"
    earlier_cases, cases = (
        {case.id: case.digest for case in each.cases} for each in (header, newest)
    )
    if earlier_cases != cases:
        return "the cases were different"
    earlier, now = ({info.name: info for info in each.metrics} for each in (header, newest))
    if earlier.keys() != now.keys():
        return "it was scored by other metrics"
    for name, info in now.items():
        if earlier[name].judge_digest != info.judge_digest:
            return f"{name} was judged by {earlier[name].judge or 'no judge'}"
        if earlier[name].digest != info.digest:
            return f"{name} was measured differently"
    return ""


def _read_runs(folders: Iterable[Path]) -> tuple[list[Run], list[str]]:
    """Return the readable runs, and why the others are not; raise StoreError if none is readable."""
    runs, notes = [], []
    for folder in folders:
        try:
            runs.append(read_run(folder))
        except StoreError as error:
            notes.append(str(error).rstrip("."))
    if not runs:
        raise StoreError(f"{notes[-1]}.")
    return runs, notes


def pool_runs(version: str, runs: Sequence[Run], left_out: Sequence[str] = ()) -> ComparedSide:
    """Pool runs of one version, oldest first, into one run with the newest header.

    Fresh trials are left out, as in all statistics. Runs with cached answers are left out too, because
    those are not new trials.
    """
    kept = [run for run in runs if not _has_cached_outputs(run)] or runs[-1:]
    notes = [f"{version}: left out {why}." for why in left_out]
    if cached := [run.header.id for run in runs if all(run is not each for each in kept)]:
        notes.append(
            f"{version}: left out {_format_run_ids(cached)}: cached answers are not new trials."
        )
    if len(kept) == 1:
        return ComparedSide(run=kept[0], notes=tuple(notes))
    trials: list[Trial] = []
    counted: Counter[str] = Counter()
    for run in kept:
        here = run.header.counted_trials()
        trials += [
            replace(trial, number=trial.number + counted[trial.case_id])
            for trial in run.trials
            if trial.number < here.get(trial.case_id, 0)
        ]
        counted.update(here)
    header = kept[-1].header
    most = max(counted[case.id] for case in header.cases)
    fewer = {case_id: count for case_id, count in counted.items() if count < most}
    position = {case.id: index for index, case in enumerate(header.cases)}
    pooled = replace(
        kept[-1],
        header=replace(header, trials=most, looks=0, counted=fewer, extra={}, fresh={}),
        trials=tuple(sorted(trials, key=lambda trial: (position[trial.case_id], trial.number))),
        fresh=(),
        warnings=tuple(dict.fromkeys(text for run in kept for text in run.warnings)),
    )
    total = f"up to {format_count(most, 'trial')}" if fewer else format_count(most, "trial")
    about_pool = [f"{version}: {len(kept)} runs are pooled, {total} of every case."]
    if looked := sum(run.header.looks > 0 for run in kept):
        about_pool.append(
            f"{version}: {looked} of them took more trials only while the gate was inconclusive, so "
            f"inconclusive runs have more weight, which biases the means slightly."
        )
    return ComparedSide(run=pooled, pooled=tuple(kept), notes=(*about_pool, *notes))


def _has_cached_outputs(run: Run) -> bool:
    return any(CACHED in trial.output.flags for trial in run.trials)


def _format_run_ids(run_ids: Sequence[str]) -> str:
    named = ", ".join(run_ids[:_MAX_NAMED_RUNS])
    more = f" and {len(run_ids) - _MAX_NAMED_RUNS} more" if len(run_ids) > _MAX_NAMED_RUNS else ""
    return f"run {named}{more}" if len(run_ids) == 1 else f"runs {named}{more}"
