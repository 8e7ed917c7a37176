"""Store the trials of a run as they finish; a run has one sink for each version of the agent."""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set
from contextlib import contextmanager
from dataclasses import dataclass, replace

from evalkit.agents.registry import Agent
from evalkit.core.context import ProgressListener, ProgressOpener, Stage
from evalkit.core.eval_set import AgentSpec
from evalkit.core.run import Run, RunHeader
from evalkit.core.trial import Trial
from evalkit.store.run_writer import RunWriter
from evalkit.store.runs import assemble_run
from evalkit.store.span_file import without_spans


class TrialSink:
    """Takes finished trials: stores them, keeps them in memory, then notifies the progress listener.

    `answered` holds trials whose stored output still needs scores. `unscored` holds the keys of
    trials that have an output on disk and no scores yet. A key is case id and trial number.
    """

    def __init__(
        self,
        writer: RunWriter,
        finished: Sequence[Trial],
        answered: Sequence[Trial],
        open_progress: ProgressOpener,
    ) -> None:
        self.writer = writer
        self.rows = list(finished)
        self.answered = {(trial.case_id, trial.number): trial for trial in answered}
        self.unscored = set(self.answered)
        self.done = {(trial.case_id, trial.number) for trial in finished}
        self._open_progress = open_progress
        self._listener: ProgressListener | None = None

    @contextmanager
    def report_progress(self, header: RunHeader, baseline: Run | None) -> Iterator[None]:
        """Report the progress of a stage: what is to run, then each finished trial."""
        wanted = sum(header.planned_trials().values()) + sum(header.fresh.values())
        label = f"look after {header.trials} of up to {header.looks} trials per case"
        stage = Stage(
            evalset=header.evalset,
            total=wanted,
            # A trial that was scored again is there twice.
            earlier=list({(trial.case_id, trial.number): trial for trial in self.rows}.values()),
            label="fresh trials of newly failing cases"
            if header.fresh
            else label * bool(header.looks),
            passing=_find_passing_cases(baseline) if baseline is not None else None,
        )
        with self._open_progress(stage) as self._listener:
            yield

    def save(self, trial: Trial) -> None:
        """Store a finished trial."""
        self.writer.append(trial)
        # The spans are on disk, and there may be many of them.
        self.rows.append(without_spans(trial))
        self.done.add((trial.case_id, trial.number))
        self.unscored.discard((trial.case_id, trial.number))
        if self._listener is not None:
            self._listener.finished(trial)

    def store_unscored(self, trial: Trial) -> None:
        """Store an output whose scores are still pending."""
        self.writer.store_unscored(trial)
        self.unscored.add((trial.case_id, trial.number))

    def replace(self, trial: Trial) -> None:
        """Store a finished trial again, with other scores."""
        self.writer.append(trial, rescored=True)
        self.rows.append(trial)


def _find_passing_cases(baseline: Run) -> Set[str]:
    """Return the cases that passed every trial."""
    failed = {trial.case_id for trial in baseline.trials if not trial.passed}
    return {trial.case_id for trial in baseline.trials} - failed


@dataclass(frozen=True, kw_only=True, slots=True)
class RunSide:
    """One version of the agent and its run; if `agent` is None, no agent is called."""

    spec: AgentSpec
    agent: Agent | None
    header: RunHeader
    sink: TrialSink

    @property
    def run(self) -> Run:
        """The run so far."""
        run = assemble_run(self.header, self.sink.rows)
        return replace(run, path=str(self.sink.writer.folder))
