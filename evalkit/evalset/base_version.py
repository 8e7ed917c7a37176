"""What a change is held to: the gate's side of its set from another commit, the candidate's side its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from evalkit.core.eval_set import AgentSpec, EvalSet, Rule
from evalkit.core.run import RunEnvironment
from evalkit.core.serialization import digest
from evalkit.core.settings import OPERATIONAL_SETTINGS


@dataclass(frozen=True, kw_only=True, slots=True)
class BaseVersion:
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

    def adapt_environment(self, own: RunEnvironment) -> RunEnvironment:
        """The surroundings of what comes from there."""
        return replace(own, set_folder=self.folder, root=self.root, replaced_checkout=self.checkout)


@dataclass(frozen=True, kw_only=True, slots=True)
class BaselineAgent:
    """The agent as it is at another commit, which runs alongside the one under test.

    Its files are in `folder`, in the project's `root` there, which stands in for `checkout`.
    """

    agent: AgentSpec
    folder: Path
    root: Path
    checkout: Path
    commit: str

    def adapt_environment(self, own: RunEnvironment) -> RunEnvironment:
        """The surroundings of what comes from there."""
        return replace(own, set_folder=self.folder, root=self.root, replaced_checkout=self.checkout)


def baseline_run_id(run_id: str) -> str:
    """The id of the run that went alongside another one."""
    return f"{run_id}-base"


MIN_TRIALS_FOR_EXACT_TEST = 3
"""Trials of a case on either side from which on the exact test can tell stable cases from flaky ones."""

MIN_BASE_TRIALS_FOR_BROKEN = 5
"""Baseline trials of a case from which on fresh ones can prove it broken."""


def choose_against_trials(rules: Sequence[Rule]) -> int:
    """Trials of every case on both sides, where nobody says how many: as few as the rules can use.

    Looks save trials only where the baseline's were paid for before; here each costs two.
    """
    proves = any(rule.broken_cases is not None for rule in rules)
    return MIN_BASE_TRIALS_FOR_BROKEN if proves else MIN_TRIALS_FOR_EXACT_TEST


def merge_sets(base: EvalSet, own: EvalSet) -> EvalSet:
    """The set that a change is held to: all of the base's, run as the change says, with its new cases."""
    known = {case.id for case in base.cases}
    decisive = {
        name: value for name, value in base.settings.items() if name not in OPERATIONAL_SETTINGS
    }
    operational = {
        name: value for name, value in own.settings.items() if name in OPERATIONAL_SETTINGS
    }
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
