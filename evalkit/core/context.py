"""What a command needs of the outside, as one record that the command line supplies."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol, TypeAlias

from evalkit.core.trial import Trial


class ProgressListener(Protocol):
    """Is told how a run comes along."""

    def finished(self, trial: Trial) -> None:
        """One more trial is stored."""


ProgressOpener: TypeAlias = Callable[[int], AbstractContextManager[ProgressListener]]
"""Opens a watch over so many trials."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Context:
    """What a command needs of the outside; the command line supplies the real one."""

    cwd: Path
    environ: Mapping[str, str]
    now: Callable[[], datetime]
    token: Callable[[], str]
    open_progress: ProgressOpener
    say: Callable[[str], None]
