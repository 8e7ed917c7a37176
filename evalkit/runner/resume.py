"""Find the run to resume, refuse it if its set or agent has changed, and reuse its trials."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from evalkit.core.errors import InvalidInput
from evalkit.core.eval_set import Case
from evalkit.core.files import path_exists
from evalkit.core.location import Problem
from evalkit.core.run import Run, RunHeader
from evalkit.core.settings import OPERATIONAL_SETTINGS, SettingsOverrides
from evalkit.core.trial import Trial
from evalkit.evalset.project import Project
from evalkit.evalset.selection import Selection
from evalkit.report.next_steps import CommandHints
from evalkit.runner.cache_trust import read_store_key
from evalkit.runner.records import RunOptions, RunRequest
from evalkit.store.answers import load_answers
from evalkit.store.run_lock import RunLock
from evalkit.store.run_seal import refuse_unsealed
from evalkit.store.run_spans import with_spans
from evalkit.store.run_writer import RunWriter
from evalkit.store.runs import HEADER_FILE, find_unfinished_run, read_run, runs_folder
from evalkit.store.seal import Seal

RESUME_FIELDS = (
    "evalset",
    "metrics",
    "agent_kind",
    "agent_entrypoint",
    "agent_digest",
    "agent_version",
    "git_commit",
    "source_digest",
    "evalkit_version",
    "base_commit",
    "added",
    "against",
)
"""Fields of a run's header that must be unchanged for the run to be resumed."""

FIELD_LABELS = {
    "agent_digest": "the agent's section of the set",
    "metrics": "the metrics",
    "source_digest": "the agent's code, or another uncommitted file,",
    "base_commit": "the commit that the gate is read from",
    "added": "the list of cases that the gate does not contain",
    "against": "the commit of the agent to compare with (--against)",
}
"""Descriptions of the fields whose values a user cannot interpret, such as digests."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EarlierRun:
    """A stored run to continue, read while its lock is held."""

    run: Run
    lock: RunLock


@contextmanager
def open_resumable_run(
    request: RunRequest, options: RunOptions, project: Project
) -> Iterator[EarlierRun | None]:
    """Lock and read the run that `--run-id` names, or else the newest unfinished run of this command.

    Yield None without `--resume`.

    Raises:
        InvalidInput: there is no such run, another command started it, or another process is writing it.
        StoreError: it cannot be read.
    """
    if not options.resume:
        yield None
        return
    folder = (
        runs_folder(project.root) / options.run_id
        if options.run_id
        else find_unfinished_run(project.root, project.relative(request.path), request.command)
    )
    if folder is None or not path_exists(folder / HEADER_FILE):
        wanted = f" {options.run_id!r}" if options.run_id else ""
        raise InvalidInput.single(
            f"{request.path}: there is no unfinished run{wanted} of 'evalkit {request.command}' to "
            f"resume. Start one without --resume."
        )
    # Locked before it is read, so that no other process adds trials that would be repeated here.
    with RunLock(folder) as lock:
        run = read_run(folder)
        refuse_unsealed(run, Seal(read_store_key(project.environ)))
        if run.header.command != request.command:
            hint = CommandHints.of(project).resume(run)
            raise InvalidInput.single(
                f"run {folder.name!r} was started by 'evalkit {run.header.command}', which continues it: {hint}"
            )
        yield EarlierRun(run=run, lock=lock)


def adopt_stored_settings(request: RunRequest, stored: RunHeader) -> RunRequest:
    """Return a request in which a stored run's settings and cases fill what the command line omits."""
    selection = request.selection
    # By id, because an expression or a limit could select other cases today.
    if stored.selection and not str(selection):
        selection = Selection(only=frozenset(case.id for case in stored.cases))
    # How the agent is called may be changed in the set; what was given on a command line stays.
    kept = {
        name: value
        for name, value in stored.settings.items()
        if name not in OPERATIONAL_SETTINGS or name in stored.overrides
    }
    overrides = request.overrides.or_else(SettingsOverrides.from_stored(kept))
    return replace(request, selection=selection, overrides=overrides, budget=stored.budget)


def refuse_if_changed(stored: RunHeader, planned: RunHeader) -> RunHeader:
    """Return the stored header if the planned run matches it.

    Raises:
        InvalidInput: they differ, so the run would mix trials of two versions; it lists every
            difference.
    """
    problems = [
        Problem(message=f"{FIELD_LABELS.get(name, name)} changed")
        if name in FIELD_LABELS
        else Problem(message=f"{name} was {getattr(stored, name)!r}, is {getattr(planned, name)!r}")
        for name in RESUME_FIELDS
        if _comparable_value(stored, name) != _comparable_value(planned, name)
    ]
    if stored.settings.get("seed") != planned.settings.get("seed"):
        problems.append(Problem(message="the seed changed"))
    before, now = stored.settings.get("trials"), planned.settings.get("trials")
    if before != now:
        problems.append(Problem(message=f"trials was {before!r}, is {now!r}"))
    changed = _changed_cases(stored.cases, planned.cases)
    if changed:
        problems.append(Problem(message=f"cases changed: {', '.join(changed)}"))
    if problems:
        advice = f"run {stored.id} cannot be resumed: what it ran has changed. Start a new run."
        raise InvalidInput([Problem(message=advice), *problems])
    return stored


def _comparable_value(header: RunHeader, name: str) -> object:
    # Only the definition of a metric counts: if the judge changes, it judges all trials again.
    if name == "metrics":
        return [(info.name, info.digest) for info in header.metrics]
    return getattr(header, name)


def _changed_cases(stored: Sequence[Case], planned: Sequence[Case]) -> list[str]:
    differing = {(c.id, c.digest) for c in stored} ^ {(c.id, c.digest) for c in planned}
    return sorted({case_id for case_id, _ in differing})


def open_writer(
    root: Path, header: RunHeader, earlier: EarlierRun | None, environ: Mapping[str, str]
) -> RunWriter:
    """Start a run in the store, or continue an earlier one."""
    seal = Seal(read_store_key(environ))
    if earlier:
        return RunWriter.reopen(earlier.lock, seal)
    return RunWriter.create(root, header, seal)


def select_finished_trials(earlier: EarlierRun | None, options: RunOptions) -> tuple[Trial, ...]:
    """Return the stored trials that do not run again.

    A failed trial with a later answer is not included, because the answer still needs scores.
    """
    if earlier is None:
        return ()
    run = earlier.run
    answered = {(trial.case_id, trial.number) for trial in _load_unscored_answers(run)}
    return tuple(
        trial
        for trial in (*run.trials, *run.fresh)
        if trial.state == "scored"
        or not (
            options.retry_errors
            or (trial.output.error is not None and (trial.case_id, trial.number) in answered)
        )
    )


def select_unscored_trials(
    earlier: EarlierRun | None, finished: Sequence[Trial]
) -> tuple[Trial, ...]:
    """Return the stored trials with an output and no score, so that the agent is not called again for them."""
    if earlier is None:
        return ()
    run = earlier.run
    known = {(trial.case_id, trial.number) for trial in finished}
    # Answers first: a stored trial with an output is an answer that was scored later.
    rows = (*_load_unscored_answers(run), *run.trials, *run.fresh)
    latest = {(trial.case_id, trial.number): trial for trial in rows if trial.output.error is None}
    answered = tuple(trial for key, trial in latest.items() if key not in known)
    return with_spans(replace(run, trials=answered, fresh=())).trials


def _load_unscored_answers(earlier: Run) -> tuple[Trial, ...]:
    return () if earlier.finished else load_answers(Path(earlier.path))
