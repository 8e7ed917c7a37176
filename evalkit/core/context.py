"""What a command needs from its environment, in one record that the command line fills in."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol, TypeAlias

from evalkit.core.trial import Trial


class ProgressListener(Protocol):
    """Receives the trials of a run as they finish."""

    def finished(self, trial: Trial) -> None:
        """Report that one more trial is stored."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Stage:
    """The trials of a set that run next; of `total`, the `earlier` ones are stored already.

    `label` says why they run, if there can be several stages. `passing` has the cases that passed every
    trial of the baseline; None without a baseline.
    """

    evalset: str
    total: int
    earlier: Sequence[Trial] = ()
    label: str = ""
    passing: Set[str] | None = None


ProgressOpener: TypeAlias = Callable[[Stage], AbstractContextManager[ProgressListener]]
"""Opens a listener for the trials of a stage."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Context:
    """The environment of a command: current folder, variables, clock, random ids, and messages."""

    cwd: Path
    environ: Mapping[str, str]
    now: Callable[[], datetime]
    token: Callable[[], str]
    open_progress: ProgressOpener
    say: Callable[[str], None]
