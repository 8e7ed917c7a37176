"""Load stored runs for notebooks: their tables, their verdicts, and comparisons between them."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, cast

from evalkit.core.context import Context
from evalkit.core.errors import EvalkitError
from evalkit.core.format import format_count, name_rule
from evalkit.core.literals import Outcome
from evalkit.core.run import Run
from evalkit.evalset.project import Project
from evalkit.notebook.comparison import RunComparison
from evalkit.notebook.tables import ShownAsTable, Table
from evalkit.store.frames import Frames, build_frames
from evalkit.store.last_command import find_last_command, find_only_run
from evalkit.store.refs import BaselineChoice, resolve_run
from evalkit.store.runs import HEADER_FILE

if TYPE_CHECKING:
    import pandas as pd

    from evalkit.core.trial import Trial
    from evalkit.report.model import Diff, Report


class _Tables(ShownAsTable):
    """What one run and several have in common: their tables, which are made when first used."""

    def __init__(self, runs: Sequence[Run]) -> None:
        self._runs = tuple(runs)

    @cached_property
    def _frames(self) -> Frames:
        return build_frames(self._runs)

    @property
    def cases(self) -> pd.DataFrame:
        """One row for each run and case.

        run, agent_version, evalset, case_id, tags, cluster, input, expected, and counts: trials, scored,
        passed. `pass_rate` is the share of the scored trials that passed, 0..1.
        """
        return self._frames.cases

    @property
    def trials(self) -> pd.DataFrame:
        """One row for each trial.

        run, agent_version, evalset, case_id, trial (from 0), state, passed, text, latency_s and
        first_token_s (seconds), cost_usd, input_tokens, output_tokens, attempts, error_type, error, and tags.
        """
        return self._frames.trials

    @property
    def scores(self) -> pd.DataFrame:
        """One row for each trial and metric.

        run, agent_version, evalset, case_id, trial, metric, state, value (in the metric's unit, 0..1 for a
        share), passed (None for a measurement), and explanation.
        """
        return self._frames.scores

    @property
    def spans(self) -> pd.DataFrame:
        """One row for each step that the agent reports; empty without any.

        run, agent_version, evalset, case_id, trial, state, passed, trial_latency_s, trial_error_type, and the
        fields of `evalkit.Span`. start_s and duration_s are seconds, start_s from the start of the trial.
        """
        return self._frames.spans


class LoadedRun(_Tables):
    """One stored run or baseline. A notebook shows its verdict and thresholds."""

    def __init__(self, run: Run, folder: Path) -> None:
        super().__init__((run,))
        self._run = run
        self._folder = folder

    @property
    def id(self) -> str:
        """The id of the run."""
        return self._run.header.id

    @property
    def evalset(self) -> str:
        """The name of the eval set."""
        return self._run.header.evalset

    @property
    def agent_version(self) -> str:
        """The version of the agent."""
        return self._run.header.agent_version

    @property
    def path(self) -> Path:
        """The folder of the run, or the file of the baseline."""
        return Path(self._run.path).absolute()

    @property
    def outcome(self) -> Outcome | None:
        """The outcome of the gate that the set has today, as `evalkit show` decides it; None for a baseline.

        Raises:
            InvalidInput: the eval set is broken.
            StoreError, ApprovalNeeded: its baseline cannot be read or trusted.
        """
        report = self._report
        return None if report is None else report.gate_result.outcome

    def compare(self, baseline: str | LoadedRun = "baseline") -> RunComparison:
        """Compare a baseline, or another run, with this run, as `evalkit diff` does.

        Raises:
            InvalidInput: no run has that name, or the set has no baseline.
            StoreError: one of the runs cannot be read.
        """
        # Imported here because it loads numpy.
        from evalkit.commands.diff import diff  # noqa: PLC0415

        base = str(baseline.path) if isinstance(baseline, LoadedRun) else baseline
        found = diff((base, str(self.path)), (), (), _create_context(self._folder))
        # Two runs make a diff, and only more of them a matrix.
        return RunComparison(cast("Diff", found))

    @cached_property
    def _report(self) -> Report | None:
        if not (self.path / HEADER_FILE).exists():
            return None  # a baseline is compared with, and has no verdict
        # Imported here because it loads numpy.
        from evalkit.commands.evaluation import evaluate_stored_run  # noqa: PLC0415

        context = _create_context(self._folder)
        project = Project.open(context)
        return evaluate_stored_run(str(self.path), BaselineChoice(), None, project, context)

    @property
    def _table(self) -> Table:
        header = self._run.header
        what = f"{header.evalset}, version {header.agent_version}, run {header.id}"
        counts = f"{format_count(len(header.cases), 'case')}, {header.trials_text} of each."
        try:
            report = self._report
        except EvalkitError as error:
            return Table(heading=what, sentences=(counts, f"There is no verdict: {error}"))
        if report is None:
            return Table(heading=f"Baseline of {what}", sentences=(counts,))
        return _verdict_table(report, what, counts)


class LoadedRuns(_Tables):
    """Several stored runs in common tables. A notebook shows one line for each run."""

    def __init__(self, runs: Sequence[Run], folder: Path) -> None:
        super().__init__(runs)
        self.runs = tuple(LoadedRun(run, folder) for run in runs)

    @property
    def _table(self) -> Table:
        rows = []
        for run in self.runs:
            try:
                outcome = (run.outcome or "baseline").upper()
            except EvalkitError:
                outcome = "no verdict"
            rows.append((outcome, run.evalset, run.agent_version, run.id))
        heading = format_count(len(rows), "run")
        return Table(heading=heading, titles=("verdict", "set", "version", "run"), rows=tuple(rows))


def load_run(ref: str, folder: str | Path = ".") -> LoadedRun:
    """Read one run, named as on the command line (`latest`, an id, a path, `baseline`...).

    Raises:
        InvalidInput: no run has that name.
        StoreError: it cannot be read.
    """
    return LoadedRun(_read_run(ref, Path(folder)), Path(folder))


def load_runs(refs: Sequence[str], folder: str | Path = ".") -> LoadedRuns:
    """Read several runs into common tables. `latest` names all sets of the last command.

    Raises:
        InvalidInput: no run has one of the names, or a set of the last command has no run.
        StoreError: one cannot be read.
    """
    place = Path(folder)
    names = dict.fromkeys(name for ref in refs for name in _list_names(ref, place))
    return LoadedRuns([_read_run(name, place) for name in names], place)


def _list_names(ref: str, folder: Path) -> list[str]:
    if ref != "latest":
        return [ref]
    entries = find_last_command(Project(folder, folder, {}).root)
    return [find_only_run((entry,), ref) for entry in entries]


def _read_run(ref: str, folder: Path) -> Run:
    project = Project(folder, folder, {})
    return resolve_run(ref, root=project.root, cwd=folder)


class _NoProgress:
    """Shows nothing, as nothing is run."""

    def finished(self, trial: Trial) -> None:
        """Ignore a trial."""


def _create_context(folder: Path) -> Context:
    """Return a context of a folder with no variables of the environment, which only a command reads."""
    return Context(
        cwd=folder.absolute(),
        environ={},
        now=lambda: datetime.now(UTC),
        token=str,
        open_progress=lambda _: nullcontext(_NoProgress()),
        say=lambda _: None,
    )


def _verdict_table(report: Report, what: str, counts: str) -> Table:
    from evalkit.report import content  # noqa: PLC0415

    result = report.gate_result
    rows = []
    for check in content.checks_by_urgency(result):
        unit = content.unit_of(report.run.header, check)
        cells = (*content.check_cells(check, unit), content.limit_cell(check.rule, unit))
        rows.append((content.outcome_word(check), name_rule(check.rule), *cells))
    return Table(
        heading=f"{content.OUTCOME_WORDS[result.outcome]}  {what}",
        sentences=(content.gate_reason(result),),
        titles=("result", "threshold", "baseline", "this run", "change", "allowed"),
        rows=tuple(rows),
        notes=(counts,),
    )
