"""A set or an agent from another commit: the base of a change, and the baseline of a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from evalkit.core.eval_set import AgentSpec, EvalSet, Rule
from evalkit.core.run import RunEnvironment
from evalkit.core.serialization import digest
from evalkit.core.settings import OPERATIONAL_SETTINGS


@dataclass(frozen=True, kw_only=True, slots=True)
class _AtCommit:
    """Something from another commit.

    `folder` has the set's files in that commit, `root` is its project root, and `checkout` is the folder
    of the current checkout that `root` replaces.
    """

    folder: Path
    root: Path
    checkout: Path
    commit: str

    def adapt_environment(self, own: RunEnvironment) -> RunEnvironment:
        """Return the environment with the folders of that commit."""
        return replace(own, set_folder=self.folder, root=self.root, replaced_checkout=self.checkout)


@dataclass(frozen=True, kw_only=True, slots=True)
class BaseVersion(_AtCommit):
    """A set at the base commit, whose gate decides the run of the current set; `name` is the ref."""

    evalset: EvalSet
    name: str


@dataclass(frozen=True, kw_only=True, slots=True)
class BaselineAgent(_AtCommit):
    """The agent at another commit, with the folders that its files are in."""

    agent: AgentSpec


def baseline_run_id(run_id: str) -> str:
    """Return the id of the baseline run that belongs to a run with `--against`."""
    return f"{run_id}-base"


MIN_TRIALS_FOR_EXACT_TEST = 3
"""Trials of a case in each run with which the exact test distinguishes stable from flaky cases."""

MIN_BASE_TRIALS_FOR_BROKEN = 5
"""Baseline trials of a case with which fresh trials can prove it broken."""


def choose_against_trials(rules: Sequence[Rule]) -> int:
    """Return the default number of trials per case and agent: the fewest that the rules can use.

    Group-sequential looks save nothing here, because every look runs the baseline agent as well.
    """
    counts_broken = any(rule.broken_cases is not None for rule in rules)
    return MIN_BASE_TRIALS_FOR_BROKEN if counts_broken else MIN_TRIALS_FOR_EXACT_TEST


def choose_least_trials(rules: Sequence[Rule]) -> int:
    """Return the fewest trials per case and agent with which the rules can be decided at all."""
    counts_broken = any(rule.broken_cases is not None for rule in rules)
    return MIN_BASE_TRIALS_FOR_BROKEN if counts_broken else 1


def merge_sets(base: EvalSet, own: EvalSet) -> EvalSet:
    """Return the base's set with the agent, operational settings, and new cases of the change."""
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
        # A base without a judge has no judged metrics, so an added judge affects only added cases.
        judges=base.judges or own.judges,
        # Both digests, so that a run cannot be resumed after either set has changed.
        digest=digest([base.digest, own.digest]),
    )
