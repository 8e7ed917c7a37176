"""The records of a run: its header, its trials, and its environment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from evalkit.core.eval_set import Case, Rule
from evalkit.core.judgement import JudgeTrust
from evalkit.core.literals import Json, RunCommand
from evalkit.core.run_budget import RunBudget
from evalkit.core.trial import Trial


@dataclass(frozen=True, kw_only=True, slots=True)
class MetricInfo:
    """A metric as a run used it. Scores of two runs are comparable only when `definition` is equal.

    `unit` is empty for a share in 0..1, otherwise a word such as `s`, `usd`, `tokens`, or
    a plugin's own. `judge`
    is the name of a rubric's judge, and `judge_digest` identifies it. `advisory` says why no threshold
    on the metric may fail a build; empty if they may. If it `is_pairwise`, its values compare the answers
    with those of a baseline, so that a baseline has no value of it.
    """

    name: str
    unit: str = ""
    higher_is_better: bool = True
    digest: str = ""
    judge: str = ""
    judge_digest: str = ""
    advisory: str = ""
    is_pairwise: bool = False

    @property
    def definition(self) -> tuple[str, str]:
        """The digests of the metric and its judge; scores are comparable only if they are equal."""
        return self.digest, self.judge_digest


@dataclass(frozen=True, kw_only=True, slots=True)
class RunHeader:
    """The plan of a run, written before the first call.

    `cases` has the selected cases in full, so that a stored run can be reported and its gate evaluated
    again without the eval set. `created` is ISO 8601 in UTC. It is for people and never used for ordering.

    `looks` is 0 when the number of trials was fixed in advance. Otherwise the run is group-sequential:
    `trials` is the number of trials per case so far, where further ones were run because the gate was
    undecided, and `looks` is the largest possible number. `counted` maps the cases of which fewer trials
    count to their number: in a run with looks, cases that never passed in the baseline, of which only the
    first trial counts in any mean. `extra` maps those of them that passed in that trial to the number of
    further trials, which only the exact test uses; the others were not run again. `fresh` maps each newly failing case to the
    number of fresh trials, which are numbered from `trials` on. `scored_from` is the run whose outputs
    were scored again without asking the agent. `base_commit` is the commit of the gate if it is not the
    candidate's own; `added` then lists the cases that the base lacks. `against` is the commit of the
    baseline agent that ran in the same run. `command` is the command that started the run and can resume it.
    `overrides` are the settings that the command line gave, which count before those of the set whenever
    the run is decided again. `budget` is what the run may take and how it was allotted; None without a
    budget. `batch` is the id of the command that ran this set and others.
    """

    id: str
    evalset: str
    evalset_path: str
    evalset_digest: str
    cases: tuple[Case, ...]
    metrics: tuple[MetricInfo, ...]
    gate: tuple[Rule, ...]
    trials: int
    agent_kind: str
    agent_entrypoint: str
    agent_digest: str
    agent_version: str
    settings: Mapping[str, Json]
    created: str
    evalkit_version: str
    git_commit: str = ""
    git_dirty: bool = False
    source_digest: str = ""
    selection: str = ""
    shard: str = ""
    cases_in_set: int = 0
    looks: int = 0
    counted: Mapping[str, int] = field(default_factory=dict)
    extra: Mapping[str, int] = field(default_factory=dict)
    fresh: Mapping[str, int] = field(default_factory=dict)
    scored_from: str = ""
    base_commit: str = ""
    added: tuple[str, ...] = ()
    against: str = ""
    command: RunCommand = "run"
    overrides: Mapping[str, Json] = field(default_factory=dict)
    budget: RunBudget | None = None
    batch: str = ""
    schema: str = "evalkit.run/v1"

    def counted_trials(self) -> dict[str, int]:
        """Return the number of trials of each case that count in its means, by case id."""
        return {case.id: self.counted.get(case.id, self.trials) for case in self.cases}

    def planned_trials(self) -> dict[str, int]:
        """Return the number of trials of each case, without fresh ones, by case id."""
        counted = self.counted_trials()
        return {case_id: count + self.extra.get(case_id, 0) for case_id, count in counted.items()}

    @property
    def mean_trials(self) -> float:
        """The mean number of trials per case, without fresh ones."""
        return sum(self.planned_trials().values()) / len(self.cases)

    @property
    def trials_text(self) -> str:
        """The number of trials of each case as words: `2 trials`, or `1 to 5 trials`."""
        least = min(self.planned_trials().values(), default=self.trials)
        count = f"{self.trials}" if least == self.trials else f"{least} to {self.trials}"
        return f"{count} trial{'' if self.trials == 1 else 's'}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """A stored run or baseline: its header and the trials that finished, in order of case and number.

    `fresh` has the trials that were run again because a case newly failed. They are separate because
    their cases were selected for having failed, so that pooling them would bias every statistic.
    `warnings` lists what was repaired or skipped while reading, such as an incomplete last line. `trust`
    has the results about the run's judges, if it had any. `is_rescored` is set when the scores are not
    the stored ones.
    """

    header: RunHeader
    trials: tuple[Trial, ...]
    fresh: tuple[Trial, ...] = ()
    path: str = ""
    finished: bool = True
    warnings: tuple[str, ...] = ()
    trust: JudgeTrust | None = None
    is_rescored: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class RunEnvironment:
    """The environment of a run for agents and metric plugins.

    `root` is the folder that all files of a set must be in. `set_folder` is the set's folder, which
    relative paths start from. `environ` is evalkit's own environment; child processes get an allowlisted
    part of it. `trials` is the number of trials per case. No code is imported from `replaced_checkout`,
    the checkout that `root` replaces. With `records_inputs`, a Python agent reports what it reads.
    `pacers` has what paces the calls of the run to each endpoint, by a digest of its address and key.
    """

    root: Path
    set_folder: Path
    environ: Mapping[str, str]
    concurrency: int = 8
    trials: int = 1
    retry_deadline_s: float = 120.0
    run_id: str = ""
    replaced_checkout: Path | None = None
    records_inputs: bool = False
    pacers: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)
