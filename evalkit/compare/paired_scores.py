"""One metric on the cases that two runs share: what the tests of a change are given."""

from __future__ import annotations

from dataclasses import dataclass, replace

from evalkit.core.eval_set import Case
from evalkit.core.run import MetricInfo


@dataclass(frozen=True, kw_only=True, slots=True)
class CaseRerun:
    """Why a case took more than one candidate trial, and the trials that only the exact test uses.

    `extra` are values of such trials. `marked` is the number of trials of both runs that count for the
    choice to run the case again, of which `marked_passed` have the value 1; 0 means that it was no choice.
    """

    extra: tuple[float, ...] = ()
    marked: int = 0
    marked_passed: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class PairedScores:
    """One metric on the cases that both runs scored, in the candidate's order.

    `base[i]` and `candidate[i]` are the values of the trials of `cases[i]`, at least one each. `reruns[i]`
    is set if the run chose which cases to run again; otherwise `reruns` is empty.
    """

    info: MetricInfo
    cases: tuple[Case, ...]
    base: tuple[tuple[float, ...], ...]
    candidate: tuple[tuple[float, ...], ...]
    reruns: tuple[CaseRerun, ...] = ()

    def keep_first_trials(self) -> PairedScores:
        """Return the pairs without the trials of chosen reruns.

        The choice depends on passes, so further trials of a case can be exchanged with its others only by a
        test that knows how the choice was made.
        """
        if not self.reruns:
            return self
        return replace(self, candidate=tuple(row[:1] for row in self.candidate), reruns=())
