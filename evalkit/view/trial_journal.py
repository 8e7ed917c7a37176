"""Follow the trials of a run while another process appends them: read only what is new."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from evalkit.core.errors import StoreError
from evalkit.core.files import open_stored_file, path_exists
from evalkit.core.literals import TrialState
from evalkit.core.trial import Trial
from evalkit.store.trial_lines import read_full_trial


@dataclass(frozen=True, kw_only=True, slots=True)
class DoneTrial:
    """What a viewer keeps of a finished trial.

    `finished_s` is when it ended, in seconds since 1970; without a stored time, when its line was first
    read, and None for lines that were there when the viewer started.
    """

    case_id: str
    number: int
    state: TrialState
    passed: bool
    cost_usd: float | None
    took_s: float
    finished_s: float | None


class TrialJournal:
    """The trials of one run by case and number; if a trial has several lines, the last one counts."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._identity: tuple[int, int] | None = None
        self._offset = 0
        self.trials: dict[tuple[str, int], DoneTrial] = {}

    def update(self, now_s: float) -> None:
        """Read the lines that were added since the last call; `now_s` is the time in seconds since 1970.

        Raises:
            StoreError: the file cannot be read, or a line is not a trial.
        """
        if not path_exists(self._path):
            return
        with open_stored_file(self._path) as stream:
            status = os.fstat(stream.fileno())
            identity = (status.st_dev, status.st_ino)
            is_first = self._identity is None
            if identity != self._identity or status.st_size < self._offset:
                # Replaced or cut off, for example by a repair: everything in it is read again.
                self._identity, self._offset, self.trials = identity, 0, {}
            stream.seek(self._offset)
            for line in stream:
                if not line.endswith(b"\n"):
                    break  # the writer may continue it at this moment
                self._offset += len(line)
                self._add(line, None if is_first else now_s)

    def _add(self, line: bytes, seen_s: float | None) -> None:
        try:
            trial = read_full_trial(line)
        except ValueError as error:
            raise StoreError(
                f"{self._path}: a line is not a trial: {error}. "
                f"Keep the rest with: evalkit repair {self._path.parent.name}"
            ) from error
        known = trial.started_s is not None and trial.took_s is not None
        self.trials[trial.case_id, trial.number] = DoneTrial(
            case_id=trial.case_id,
            number=trial.number,
            state=trial.state,
            passed=trial.passed,
            cost_usd=sum_costs(trial),
            took_s=trial.took_s or trial.output.latency_s,
            finished_s=(trial.started_s or 0) + (trial.took_s or 0) if known else seen_s,
        )


def sum_costs(trial: Trial) -> float | None:
    """Return what agent and judges cost in a trial, in USD; None if nothing reports a cost."""
    judged = (score.judgement.cost_usd for score in trial.scores if score.judgement is not None)
    known = [cost for cost in (trial.output.cost_usd, *judged) if cost is not None]
    return sum(known) if known else None
