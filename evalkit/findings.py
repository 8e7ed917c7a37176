"""What the commands beside a run come to, as records: what was recorded, checked, planned, weighed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from evalkit.calibration import Calibration
from evalkit.labels import HumanLabel
from evalkit.records import Outcome, Run
from evalkit.verdict import MetricSummary, Tally


@dataclass(frozen=True, kw_only=True, slots=True)
class Recorded:
    """The baseline that was written, what it holds, and how many trials a case the old one had."""

    path: Path
    run: Run
    tally: Tally
    summaries: tuple[MetricSummary, ...]
    replaced_trials: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class CheckedSet:
    """A sound eval set in numbers: how many cases each metric scores and each tag has."""

    path: str
    name: str
    cases: int
    rules: int
    scored_by: tuple[tuple[str, int], ...]
    tags: tuple[tuple[str, int], ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class CheckedRubric:
    """A sound rubric in numbers: criteria, how many of them are checks, examples, good and bad controls."""

    path: str
    name: str
    criteria: int
    checks: int
    examples: int
    good_controls: int
    bad_controls: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Preview:
    """The size of a run; costs are None where no stored trial tells what one costs.

    `most_trials` may be run of each case if those before them decide nothing; calls and cost are those
    of the first `trials`. `judge_calls` are at most so many: a verdict that is kept takes none.
    """

    evalset: str
    agent: str
    case_ids: tuple[str, ...]
    cases_in_set: int
    trials: int
    most_trials: int
    agent_calls: int
    cost_usd: float | None
    metrics: tuple[str, ...]
    baseline_trials: int
    judge: str = ""
    judge_calls: int = 0
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Sight:
    """What one design sees of a threshold; costs are None where no stored trial tells what one costs.

    `smallest_drop` is failed 4 times in 5 (None when no drop is), `pass_chance` is how often an agent
    that did not change passes. With `looks`, `trials` are the most there may be, and `mean_trials` how
    many such an agent takes. `now` marks what the set has, `simulated` what the gate's own test decided.
    """

    cases: int
    base_trials: float
    trials: int
    smallest_drop: float | None
    pass_chance: float
    cost_usd: float | None
    looks: int = 0
    mean_trials: float
    now: bool = False
    simulated: bool = False

    @property
    def runs(self) -> int:
        """Calls of the agent that a candidate takes, on average where it looks."""
        return round(self.cases * self.mean_trials)


@dataclass(frozen=True, kw_only=True, slots=True)
class Need:
    """What it takes to see a drop, or to prove that there is none larger, 4 times in 5.

    `chance` is that of the planned design. `cases` are needed with its trials, `trials` with its cases;
    `cases_at_most_trials` with the baseline as it is and five trials. None where no number suffices.
    """

    drop: float
    chance: float
    cases: int | None
    trials: int | None
    cases_at_most_trials: int | None


@dataclass(frozen=True, kw_only=True, slots=True)
class BrokenPower:
    """What a rule on broken cases can prove with the baseline there is.

    `watched` of `cases` passed often enough in it to be run again when they fail, `fresh_trials` times
    each. Up to `at_once` that always passed and never do now are all proven; it takes more than
    `allowed` to fail. `chances` maps a pass rate now to the chance that such a case is found and proven.
    `problem` says why nothing can be.
    """

    name: str
    allowed: int
    cases: int
    watched: int
    base_trials: int
    fresh_trials: int
    at_once: int
    chances: tuple[tuple[float, float], ...]
    problem: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Power:
    """What a set can see with one threshold: the assumptions, a table of designs, what more would take.

    `mean` is the share that passes (for a rise: that fails not), `noise` the mean over cases of
    p(1-p); `flaky` counts cases whose baseline trials disagree, None without a baseline. `level` is
    what one of `rules` thresholds has left of alpha, and at each look less. `clusters` is how many draws
    the cases count as when it is asked about other cases like these, None when it is not.
    """

    evalset: str
    name: str
    noun: str
    planned: Sight
    mean: float
    noise: float
    noise_from: Literal["baseline", "assumed"]
    flaky: int | None
    alpha: float
    rules: int
    level: float
    max_drop: float
    tolerated: float
    clusters: float | None
    sights: tuple[Sight, ...]
    wanted: Need | None
    proofs: tuple[Need, ...]
    cost_per_run_usd: float | None
    broken: BrokenPower | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class AlarmCount:
    """How often one threshold, or the whole gate, came out which way for an unchanged agent.

    `low` and `high` bound the share that failed by a 90 % Wilson interval. `level` is the most a
    threshold of this kind promises to fail, None where it promises nothing.
    """

    name: str
    outcomes: Mapping[Outcome, int]
    low: float
    high: float
    level: float | None = None

    @property
    def repeats(self) -> int:
        """How often it was decided."""
        return sum(self.outcomes.values())

    @property
    def fail_rate(self) -> float:
        """The share that failed."""
        return self.outcomes["fail"] / self.repeats


@dataclass(frozen=True, kw_only=True, slots=True)
class Alarms:
    """The false alarms of a set's own gate, from stored trials shared out anew or from fresh runs.

    `trials` are the most that a candidate may have had of every case, `mean_trials` what they took.
    """

    evalset: str
    from_runs: bool
    cases: int
    base_trials: int
    trials: int
    mean_trials: float
    seed: int
    gate: AlarmCount
    rules: tuple[AlarmCount, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class CaseHistory:
    """How steadily one case passes, over the stored trials of it.

    `flip_rate` is the unbiased chance that two trials of one agent version disagree, None where no
    version has two. `all_pass` maps k to the unbiased chance that k trials all pass.
    """

    case_id: str
    passed: int
    trials: int
    flip_rate: float | None
    all_pass: Mapping[int, float]

    @property
    def flaky(self) -> bool:
        """Whether trials of one version disagree; where no version has two, whether any do."""
        if self.flip_rate is not None:
            return self.flip_rate > 0
        return 0 < self.passed < self.trials


@dataclass(frozen=True, kw_only=True, slots=True)
class RunHistory:
    """How steadily the cases of one stored run, or of the baseline, pass: means over its cases."""

    run: str
    agent_version: str
    created: str
    trials: int
    cases: int
    pass_rate: float
    flip_rate: float | None
    all_pass: Mapping[int, float]


@dataclass(frozen=True, kw_only=True, slots=True)
class Flakiness:
    """A run's cases over all stored trials of them, and the runs those trials are from."""

    run: str
    evalset: str
    cases: tuple[CaseHistory, ...]
    runs: tuple[RunHistory, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Disagreement:
    """An answer on which a judge gave another level than people: how far apart, and what both said."""

    label: HumanLabel
    people: str
    judge: str
    distance: float
    evidence: str = ""
    explanation: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Calibrated:
    """What calibrating a judge showed.

    `unmet` says which requirement of the rubric the judge misses; empty when it has none or meets it.
    `path` is where the calibration is stored. `missing` are the reasons of the answers without verdict.
    """

    calibration: Calibration
    answers: int
    disagreements: tuple[Disagreement, ...]
    path: str
    unmet: str = ""
    missing: Mapping[str, int] = field(default_factory=dict)
    passed_by: Mapping[str, int] = field(default_factory=dict)
    calls: int = 0
    cost_usd: float | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Started:
    """What was written, from the folder that was named, and the commands to type next."""

    written: tuple[str, ...]
    commands: tuple[str, ...]
    notes: tuple[str, ...] = ()
