"""What a run came to, as records: counts, metric summaries, case changes, checks, one verdict."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from evalkit.core.eval_set import Rule
from evalkit.core.literals import Outcome, TrialState
from evalkit.core.location import NO_LOCATION, Location

CaseStatus: TypeAlias = Literal[
    "regressed", "fixed", "changed", "unchanged", "added", "removed", "edited", "not_scored"
]

GateChangeKind: TypeAlias = Literal[
    "threshold",
    "setting",
    "case",
    "metric",
    "file",
    "baseline",
    "agent",
    "selection",
    "set",
    "section",
]


@dataclass(frozen=True, kw_only=True, slots=True)
class Tally:
    """Where every selected trial ended up; the counts always sum to `selected`."""

    selected: int
    counts: Mapping[TrialState, int]

    @property
    def errors(self) -> int:
        """Trials that were due a score and have none."""
        return self.selected - self.counts["scored"] - self.counts["skipped"]


@dataclass(frozen=True, kw_only=True, slots=True)
class HumanMean:
    """The mean people would have given, estimated from their labels of `cases` and the judge's of all.

    `low` and `high` bound its 90 % interval; `share` is how much of it rests on the judge.
    """

    mean: float
    low: float
    high: float
    cases: int
    share: float


@dataclass(frozen=True, kw_only=True, slots=True)
class MetricSummary:
    """One metric over the trials of a run, or over those of the cases with `tag`.

    `scored` of `due` trials have a value; `missing` says why the others have none. The statistics
    are over the scored ones, in the metric's unit; None when there are none. `rate` is the share
    that passed, None for measurements. `people` is what people would have given in the judge's place.
    """

    metric: str
    tag: str | None = None
    unit: str = ""
    higher_is_better: bool = True
    due: int = 0
    scored: int = 0
    missing: Mapping[str, int] = field(default_factory=dict)
    mean: float | None = None
    rate: float | None = None
    p50: float | None = None
    p95: float | None = None
    p99: float | None = None
    people: HumanMean | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class CaseChange:
    """One case in baseline and candidate.

    Passes are counted over fully scored trials; a case passes when more than half of them do.
    `flaky` is set when its baseline trials disagree with one another. A case that other metrics keep
    from passing regresses all the same when one of its metrics does: then `metric` names that one,
    and the counts are its own.
    """

    case_id: str
    status: CaseStatus
    flaky: bool = False
    base_passed: int = 0
    base_trials: int = 0
    passed: int = 0
    trials: int = 0
    metric: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class MetricChange:
    """One metric (in one tag) on the shared cases of two runs; `why_not` is set when incomparable."""

    metric: str
    tag: str | None = None
    unit: str = ""
    higher_is_better: bool = True
    base: float | None = None
    candidate: float | None = None
    cases: int = 0
    why_not: str = ""

    @property
    def difference(self) -> float | None:
        """Candidate minus base, in the metric's unit."""
        if self.base is None or self.candidate is None:
            return None
        return self.candidate - self.base


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """Two runs side by side, over the cases whose digests are equal in both."""

    base: str
    candidate: str
    metrics: tuple[MetricChange, ...] = ()
    cases: tuple[CaseChange, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class CaseContribution:
    """How one case did on one metric, for naming the cases that moved a check most."""

    case_id: str
    base: float
    base_trials: int
    candidate: float
    trials: int
    is_count: bool = True
    """Whether `base` and `candidate` count passes (10/10 -> 0/2) or are means (0.91 -> 0.40)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PopulationTest:
    """Whether other cases like these would get worse: cases, or their clusters, taken as a sample.

    `low` and `high` bound the same interval of the same difference as the check's; None where unknown.
    """

    clusters: int
    p_value: float
    low: float | None
    high: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Check:
    """One threshold decided: the outcome, the sentence that says it, and the numbers behind it.

    `low` and `high` bound a 90 % interval of `difference` (for rules that compare) or of `candidate`
    (for absolute ones). `p_value` is one-sided: how often a result this bad comes up when nothing
    changed. An unchanged agent fails with probability `false_alarm` at most; a change of the size
    `smallest_seen` (unsigned, like `difference`) fails 4 times in 5, None where none does. `users` is
    the answer to the other question where the rule asks about these cases. `to_decide` says what would
    settle an inconclusive check. `advisory` says why the check decides nothing, if it does not.
    """

    rule: Rule
    outcome: Outcome
    sentence: str
    baseline: float | None = None
    candidate: float | None = None
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    p_value: float | None = None
    false_alarm: float | None = None
    smallest_detectable: float | None = None
    users: PopulationTest | None = None
    cases: int = 0
    base_trials: float = 0.0
    trials: float = 0.0
    hits: tuple[CaseContribution, ...] = ()
    to_decide: str = ""
    advisory: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class GateChange:
    """One thing that a change edits in the gate it is held to.

    `loosened` is false only where the edit can do nothing but tighten or add. `case_ids` are the cases
    it is about, if it is about some.
    """

    kind: GateChangeKind
    sentence: str
    loosened: bool
    case_ids: tuple[str, ...] = ()
    where: Location = NO_LOCATION


@dataclass(frozen=True, kw_only=True, slots=True)
class GateReview:
    """What a change does to its own gate, compared with the gate of `base`, which is at `commit`.

    With `accepted` the edits are approved, and the verdict is under the change's own rules; else it is
    under those of the base. `notes` say what else is to be known of the base.
    """

    base: str
    commit: str
    changes: tuple[GateChange, ...] = ()
    accepted: bool = False
    notes: tuple[str, ...] = ()

    @property
    def loosening(self) -> tuple[GateChange, ...]:
        """The edits that need approval."""
        return tuple(change for change in self.changes if change.loosened)


@dataclass(frozen=True, kw_only=True, slots=True)
class GateResult:
    """The one object every report and the exit code are rendered from.

    `outcome` is `undecided` when the run is not complete enough to judge, or waits for approval;
    `reason` is one sentence. `gate` is there where the gate's definition came from another commit.
    """

    outcome: Outcome
    exit_code: int
    reason: str
    tally: Tally
    checks: tuple[Check, ...] = ()
    summaries: tuple[MetricSummary, ...] = ()
    comparison: Comparison | None = None
    notes: tuple[str, ...] = ()
    gate: GateReview | None = None
