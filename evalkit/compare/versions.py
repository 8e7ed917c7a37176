"""All stored runs of one version of an agent into one run that holds their trials, if they may be pooled."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from evalkit.core.errors import StoreError
from evalkit.core.files import path_exists
from evalkit.core.format import format_count
from evalkit.core.run import Run, RunHeader
from evalkit.core.spans import CACHED
from evalkit.core.trial import Trial
from evalkit.store.refs import find_version_folders, resolve_run
from evalkit.store.run_spans import read_run_spans
from evalkit.store.runs import SUMMARY_FILE, read_header, read_run
from evalkit.store.span_file import SpansByTrial

_MAX_RUNS = 100
_MAX_NAMED_RUNS = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class ComparedSide:
    """One side of a comparison: a run, or the trials of several runs of a version as one run.

    `pooled` are the runs it was made of, oldest first; empty for a run that was named itself.
    `notes` say what was pooled, what was left out, and why.
    """

    run: Run
    pooled: tuple[Run, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def run_ids(self) -> tuple[str, ...]:
        """The runs whose trials it holds."""
        return tuple(run.header.id for run in self.pooled) or (self.run.header.id,)

    def read_spans(self) -> SpansByTrial:
        """The spans of its trials, by case id and the number the trial has here.

        Raises:
            StoreError: they cannot be read, or are not those that the run wrote.
        """
        spans, offset = {}, 0
        for run in self.pooled or (self.run,):
            for (case_id, number), steps in read_run_spans(run).items():
                spans[case_id, number + offset] = steps
            offset += run.header.trials
        return spans


def resolve_side(ref: str, *, root: Path, cwd: Path, beside: RunHeader | None) -> ComparedSide:
    """The run that `ref` names; of a version, all complete runs that may be pooled.

    Of several sets that a version ran, that of `beside` is meant if it is among them.

    Raises:
        InvalidInput: no run, or more than one, goes by that name.
        StoreError, ApprovalNeeded: it is there and cannot be trusted.
    """
    folders = find_version_folders(ref, root=root, cwd=cwd)
    headers = [(folder, read_header(folder)) for folder in folders]
    if beside is not None:
        of_set = [one for one in headers if one[1].evalset_path == beside.evalset_path]
        headers = of_set or headers
    whole = [(folder, header) for folder, header in headers if not _is_partial_run(folder, header)]
    if not whole:
        if headers:  # of parts the newest stands for the version, as it does everywhere
            return ComparedSide(run=read_run(headers[-1][0]))
        return ComparedSide(run=resolve_run(ref, root=root, cwd=cwd, beside=beside))
    like = whole[-1][1]
    whole = [
        (folder, header) for folder, header in whole if header.evalset_path == like.evalset_path
    ]
    kept, left_out = _choose_poolable(whole)
    parts = len([1 for _, header in headers if header.evalset_path == like.evalset_path]) - len(
        whole
    )
    if parts:
        left_out.append(f"{format_count(parts, 'run')} that did not finish or took only some cases")
    runs, broken = _read_runs(kept)
    return pool_runs(ref, runs, [*left_out, *broken])


def _has_cached_outputs(run: Run) -> bool:
    return any(CACHED in trial.output.flags for trial in run.trials)


def _is_partial_run(folder: Path, header: RunHeader) -> bool:
    return bool(header.selection or header.shard) or not path_exists(folder / SUMMARY_FILE)


def _choose_poolable(
    found: Sequence[tuple[Path, RunHeader]],
) -> tuple[list[Path], list[str]]:
    """The runs that measured what the newest one did, each output once; and what of the others."""
    like = found[-1][1]
    origins = {header.id: header.scored_from for _, header in found}
    kept: list[Path] = []
    reasons: dict[str, list[str]] = {}
    seen: set[str] = set()
    for folder, header in reversed(found):
        origin = _find_origin(header.id, origins)
        reason = _not_poolable_reason(header, like)
        if not reason and origin in seen:
            reason = "its outputs count once, as they were last scored"
        if not reason and len(kept) >= _MAX_RUNS:
            reason = f"only the newest {_MAX_RUNS} are read"
        if reason:
            reasons.setdefault(reason, []).append(header.id)
            continue
        seen.add(origin)
        kept.append(folder)
    return kept[::-1], [f"{_format_run_ids(ids)}: {reason}" for reason, ids in reasons.items()]


def _find_origin(run_id: str, origins: dict[str, str]) -> str:
    """The run whose agent gave the outputs, however often they were scored again."""
    passed: set[str] = set()
    while origins.get(run_id) and run_id not in passed:
        passed.add(run_id)
        run_id = origins[run_id]
    return run_id


def _not_poolable_reason(header: RunHeader, like: RunHeader) -> str:
    """Why the trials of two runs of a version are not trials of one thing; empty if they are."""
    if header is like:
        return ""
    if (header.agent_digest, header.source_digest) != (like.agent_digest, like.source_digest):
        return "the agent, or code around it, was another under the same label"
    if like.agent_kind == "recorded":
        return "recorded answers are the same in every run"
    ours, theirs = ({case.id: case.digest for case in each.cases} for each in (header, like))
    if ours != theirs:
        return "the cases were others"
    before, now = ({info.name: info for info in each.metrics} for each in (header, like))
    if before.keys() != now.keys():
        return "it was scored by other metrics"
    for name, info in now.items():
        if before[name].judge_digest != info.judge_digest:
            return f"{name} was judged by {before[name].judge or 'no judge'}"
        if before[name].digest != info.digest:
            return f"{name} was measured in another way"
    return ""


def _read_runs(folders: Iterable[Path]) -> tuple[list[Run], list[str]]:
    """The runs that can be read; one that cannot keeps nobody from the others."""
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
    """The trials of runs of one version, oldest first, as those of one run with the newest one's header.

    Trials that were run again because their case had failed stay out, as everywhere; so do runs with
    answers from the cache, which are no new trials.
    """
    asked = [run for run in runs if not _has_cached_outputs(run)] or runs[-1:]
    if len(asked) < len(runs):
        ids = [run.header.id for run in runs if all(run is not one for one in asked)]
        left_out = [*left_out, f"{_format_run_ids(ids)}: answers from the cache are no new trials"]
    runs = asked
    trials: list[Trial] = []
    offset = 0
    for run in runs:
        called_for = [trial for trial in run.trials if trial.number < run.header.trials]
        trials += [replace(trial, number=trial.number + offset) for trial in called_for]
        offset += run.header.trials
    header = runs[-1].header
    position = {case.id: index for index, case in enumerate(header.cases)}
    ordered = sorted(trials, key=lambda trial: (position[trial.case_id], trial.number))
    notes = []
    if len(runs) > 1:
        notes.append(
            f"{version}: {len(runs)} runs are pooled, {format_count(offset, 'trial')} of every case."
        )
    looked = sum(run.header.looks > 0 for run in runs)
    if looked and len(runs) > 1:
        notes.append(
            f"{version}: {looked} of them took further trials only while the gate was undecided, so that "
            f"undecided runs weigh more; that biases its means, though mildly."
        )
    notes += [f"{version}: left out {why}." for why in left_out]
    whole = replace(
        runs[-1],
        header=replace(header, trials=offset, looks=0, fresh={}),
        trials=tuple(ordered),
        fresh=(),
        warnings=tuple(dict.fromkeys(text for run in runs for text in run.warnings)),
    )
    if len(runs) == 1:
        return ComparedSide(run=runs[0], notes=tuple(notes))
    return ComparedSide(run=whole, pooled=tuple(runs), notes=tuple(notes))


def _format_run_ids(run_ids: Sequence[str]) -> str:
    named = ", ".join(run_ids[:_MAX_NAMED_RUNS])
    more = f" and {len(run_ids) - _MAX_NAMED_RUNS} more" if len(run_ids) > _MAX_NAMED_RUNS else ""
    return f"run {named}{more}" if len(run_ids) == 1 else f"runs {named}{more}"
