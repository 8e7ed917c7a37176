"""The desk of a run: where trials that were finished before are taken up, and finished ones go."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from evalkit.core.context import ProgressListener, ProgressOpener
from evalkit.core.run import RunHeader
from evalkit.core.trial import Trial
from evalkit.store.run_writer import RunWriter
from evalkit.store.span_file import without_spans


class TrialSink:
    """Where finished trials go: to disk first, then to memory, then to whoever watches.

    `answered` are trials whose output is stored and is still to be scored, or again. `waiting` are those
    keys of trials that have an answer on disk and no scores yet.
    """

    def __init__(
        self,
        writer: RunWriter,
        kept: Sequence[Trial],
        answered: Sequence[Trial],
        open_watch: ProgressOpener,
    ) -> None:
        self.writer = writer
        self.rows = list(kept)
        self.answered = {(trial.case_id, trial.number): trial for trial in answered}
        self.unscored = set(self.answered)
        self.done = {(trial.case_id, trial.number) for trial in kept}
        self._open_listener = open_watch
        self._listener: ProgressListener | None = None

    @contextmanager
    def report_progress(self, header: RunHeader) -> Iterator[None]:
        """Tell whoever watches what a stage still has to do, and then how it comes along."""
        wanted = len(header.cases) * header.trials + sum(header.fresh.values())
        with self._open_listener(wanted - len(self.rows)) as self._listener:
            yield

    def save(self, trial: Trial) -> None:
        """Store a trial that is finished."""
        self.writer.append(trial)
        self.rows.append(without_spans(trial))  # they are on disk, and may be many
        self.done.add((trial.case_id, trial.number))
        self.unscored.discard((trial.case_id, trial.number))
        if self._listener is not None:
            self._listener.finished(trial)

    def store_unscored(self, trial: Trial) -> None:
        """Store an answer that waits for its scores."""
        self.writer.store_unscored(trial)
        self.unscored.add((trial.case_id, trial.number))

    def replace(self, trial: Trial) -> None:
        """Store a finished trial once more, with other scores."""
        self.writer.append(trial, rescored=True)
        self.rows.append(trial)
