"""The desk of a run: where trials that were finished before are taken up, and finished ones go."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from evalkit.records import RunHeader, Trial
from evalkit.spanfile import without_spans
from evalkit.store import RunWriter
from evalkit.world import Watch, WatchOpener


class Desk:
    """Where finished trials go: to disk first, then to memory, then to whoever watches.

    `answered` are trials whose output is stored and is still to be scored, or again. `waiting` are those
    keys of trials that have an answer on disk and no scores yet.
    """

    def __init__(
        self,
        writer: RunWriter,
        kept: Sequence[Trial],
        answered: Sequence[Trial],
        open_watch: WatchOpener,
    ) -> None:
        self.writer = writer
        self.rows = list(kept)
        self.answered = {(trial.case_id, trial.number): trial for trial in answered}
        self.waiting = set(self.answered)
        self.done = {(trial.case_id, trial.number) for trial in kept}
        self._open_watch = open_watch
        self._watch: Watch | None = None

    @contextmanager
    def watched(self, header: RunHeader) -> Iterator[None]:
        """Tell whoever watches what a stage still has to do, and then how it comes along."""
        wanted = len(header.cases) * header.trials + sum(header.fresh.values())
        with self._open_watch(wanted - len(self.rows)) as self._watch:
            yield

    def save(self, trial: Trial) -> None:
        """Store a trial that is finished."""
        self.writer.append(trial)
        self.rows.append(without_spans(trial))  # they are on disk, and may be many
        self.done.add((trial.case_id, trial.number))
        self.waiting.discard((trial.case_id, trial.number))
        if self._watch is not None:
            self._watch.finished(trial)

    def keep(self, trial: Trial) -> None:
        """Store an answer that waits for its scores."""
        self.writer.keep(trial)
        self.waiting.add((trial.case_id, trial.number))

    def replace(self, trial: Trial) -> None:
        """Store a finished trial once more, with other scores."""
        self.writer.append(trial, rescored=True)
        self.rows.append(trial)
