"""What a change is held to: the gate's side of its set from another commit, the candidate's side its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from evalkit.digest import digest
from evalkit.records import AgentSpec, EvalSet, Rule, Surroundings
from evalkit.settings import OPERATIONAL


@dataclass(frozen=True, kw_only=True, slots=True)
class GateSource:
    """A set as it is at another commit, which a run of the set as it is here is held to.

    Its files are in `folder`, in the project's `root` there; `commit` and `name` tell which they are.
    `checkout` is what `root` stands in for.
    """

    evalset: EvalSet
    folder: Path
    root: Path
    checkout: Path
    commit: str
    name: str

    def surround(self, own: Surroundings) -> Surroundings:
        """The surroundings of what comes from there."""
        return replace(own, base=self.folder, root=self.root, instead_of=self.checkout)


@dataclass(frozen=True, kw_only=True, slots=True)
class Rival:
    """The agent as it is at another commit, which runs alongside the one under test.

    Its files are in `folder`, in the project's `root` there, which stands in for `checkout`.
    """

    agent: AgentSpec
    folder: Path
    root: Path
    checkout: Path
    commit: str

    def surround(self, own: Surroundings) -> Surroundings:
        """The surroundings of what comes from there."""
        return replace(own, base=self.folder, root=self.root, instead_of=self.checkout)


def rival_id(run_id: str) -> str:
    """The id of the run that went alongside another one."""
    return f"{run_id}-base"


FEWEST_TO_WEIGH = 3
"""Trials of a case on either side from which on the exact test can tell stable cases from flaky ones."""

FEWEST_TO_PROVE = 5
"""Baseline trials of a case from which on fresh ones can prove it broken."""


def trials_side_by_side(rules: Sequence[Rule]) -> int:
    """Trials of every case on both sides, where nobody says how many: as few as the rules can use.

    Looks save trials only where the baseline's were paid for before; here each costs two.
    """
    proves = any(rule.broken_cases is not None for rule in rules)
    return FEWEST_TO_PROVE if proves else FEWEST_TO_WEIGH


def join_sets(base: EvalSet, own: EvalSet) -> EvalSet:
    """The set that a change is held to: all of the base's, run as the change says, with its new cases."""
    known = {case.id for case in base.cases}
    decisive = {name: value for name, value in base.settings.items() if name not in OPERATIONAL}
    operational = {name: value for name, value in own.settings.items() if name in OPERATIONAL}
    return replace(
        base,
        path=own.path,
        description=own.description,
        agent=own.agent,
        cases=(*base.cases, *(case for case in own.cases if case.id not in known)),
        settings={**decisive, **operational},
        # Where nothing was judged, a judge that is added judges only what is added.
        judges=base.judges or own.judges,
        digest=digest([base.digest, own.digest]),
    )
