"""A run and its baseline as the two sides of every threshold."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches

from evalkit.compare.scores import ScoreTable
from evalkit.core.errors import Undecidable
from evalkit.core.gate_result import Comparison


@dataclass(frozen=True, kw_only=True, slots=True)
class GateInputs:
    """What thresholds are applied to: the run, and the baseline with its comparison if there is one."""

    candidate: ScoreTable
    base: ScoreTable | None = None
    comparison: Comparison | None = None
    baseline_problem: str = ""

    @property
    def record_command(self) -> str:
        """The command that records a baseline for this set."""
        return f"evalkit baseline {shlex.quote(self.candidate.header.evalset_path)}"

    def require_base(self) -> tuple[ScoreTable, Comparison]:
        """The baseline and its comparison; Undecidable when there is none."""
        if self.base is None or self.comparison is None:
            raise Undecidable(
                self.baseline_problem or f"there is no baseline. Record one: {self.record_command}"
            )
        return self.base, self.comparison


def explain_unknown_name(what: str, name: str, known: Iterable[str]) -> str:
    """That nothing goes by a name, with the nearest that does."""
    names = list(known)
    near = get_close_matches(name, names, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(names) or 'none'}"
    return f"no {what} {name!r}; {hint}"
