"""What a command needs from the outside, as one record that the command line supplies."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol, TypeAlias

from evalkit.core.trial import Trial


class ProgressListener(Protocol):
    """Receives the trials of a run as they finish."""

    def finished(self, trial: Trial) -> None:
        """Note that one more trial is stored."""


ProgressOpener: TypeAlias = Callable[[int], AbstractContextManager[ProgressListener]]
"""Opens a listener for a given number of trials."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Context:
    """The outside as a command sees it: folder, environment, clock, random ids and messages."""

    cwd: Path
    environ: Mapping[str, str]
    now: Callable[[], datetime]
    token: Callable[[], str]
    open_progress: ProgressOpener
    say: Callable[[str], None]
