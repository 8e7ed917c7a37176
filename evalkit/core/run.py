"""The records of a run: its header, its trials, its environment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from evalkit.core.eval_set import Case, Rule
from evalkit.core.judgement import JudgeTrust
from evalkit.core.literals import Json
from evalkit.core.trial import Trial


@dataclass(frozen=True, kw_only=True, slots=True)
class MetricInfo:
    """A metric as a run used it. Scores of two runs are comparable only when `definition` is equal.

    `unit` is empty for a share in 0..1, else `s`, `usd`, `tokens` or a plugin's own word. `judge` names
    the judge of a rubric, `judge_digest` tells it from others. `advisory` says why no threshold on the metric may fail a build, if none may.
    """

    name: str
    unit: str = ""
    higher_is_better: bool = True
    digest: str = ""
    judge: str = ""
    judge_digest: str = ""
    advisory: str = ""

    @property
    def definition(self) -> tuple[str, str]:
        """What has to be equal for two scores to be comparable: how it is measured, and by whom."""
        return self.digest, self.judge_digest


@dataclass(frozen=True, kw_only=True, slots=True)
class RunHeader:
    """What a run set out to do, written before the first call.

    `cases` are the selected ones, whole, so that a stored run can be shown and decided again without
    the eval set. `created` is ISO 8601 in UTC; it is for people, never for ordering within a run.

    `looks` is 0 when the number of trials was fixed beforehand. Otherwise `trials` is how many of every
    case were called for so far, each further one because those before it left the gate undecided, and
    `looks` is how many there could have been. `fresh` are the cases that newly failed, with how many
    trials of each are run again, numbered on from `trials`. `scored_from` is the run whose outputs were
    scored again, where no agent was asked. `base_commit` is where the gate came from, if not from the
    candidate; `added` are then cases it lacks. `against` is the commit whose agent ran alongside.
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
    fresh: Mapping[str, int] = field(default_factory=dict)
    scored_from: str = ""
    base_commit: str = ""
    added: tuple[str, ...] = ()
    against: str = ""
    schema: str = "evalkit.run/v1"


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """A stored run or baseline: its header and the trials that finished, in order of case and number.

    `fresh` are those that were run again because a case newly failed. They stand apart, because their
    cases were chosen for having failed: pooled with the others they would bias every number.
    `warnings` name what was repaired or left out while it was read (a torn last line). `trust` is what
    the run showed of its judges, if it had any. `is_renewed` tells that it is not scored as it was stored.
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
    """Where a run takes place, for whatever has to reach outside: agents and metric plugins.

    `root` bounds the files a set may name; `base` is the set's folder, which relative paths start
    from; `environ` is evalkit's own environment, of which children get an allow-listed part. `trials`
    is how many of every case are going to be run. No code comes from the checkout `root` is `instead_of`.
    """

    root: Path
    set_folder: Path
    environ: Mapping[str, str]
    concurrency: int = 8
    trials: int = 1
    run_id: str = ""
    replaced_checkout: Path | None = None
