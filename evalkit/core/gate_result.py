"""The records of a gate decision: counts, metric summaries, case changes, checks, and one result."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from evalkit.core.errors import ApprovalNeeded
from evalkit.core.eval_set import Rule
from evalkit.core.gate_source import Acceptance, DefinitionSource
from evalkit.core.literals import CaseStatus, Outcome, TrialState, result_word
from evalkit.core.location import NO_LOCATION, Location

CaseOrigin: TypeAlias = Literal["shared", "added", "edited", "removed"]

GateChangeKind: TypeAlias = Literal[
    "threshold", "setting", "case", "metric", "file", "baseline", "agent", "access", "selection", "set",
    "section", "leak",
]  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class Tally:
    """The number of trials per state; the counts always sum to `selected`."""

    selected: int
    counts: Mapping[TrialState, int]

    @property
    def errors(self) -> int:
        """The number of trials that should have a score and have none."""
        # A skipped trial is not an error: no metric applies to its case.
        return self.selected - self.counts["scored"] - self.counts["skipped"]


@dataclass(frozen=True, kw_only=True, slots=True)
class HumanMean:
    """An estimate of the mean score that people would give.

    It combines people's labels of `cases` cases with the judge's scores of all, whose weight is `share`.
    `low` and `high` bound the 90 % confidence interval.
    """

    mean: float
    low: float
    high: float
    cases: int
    share: float


@dataclass(frozen=True, kw_only=True, slots=True)
class PreferenceCounts:
    """The results of a pairwise metric.

    Cases are won, tied, or lost. A case is won if it won more of its `pairs` of answers than it lost. Of the
    `judged` pairs, a judge preferred the answer shown first in both orders in `first_flips`, and the one shown
    second in `second_flips`; these are ties.
    """

    wins: int
    ties: int
    losses: int
    pairs: int
    judged: int
    first_flips: int = 0
    second_flips: int = 0

    @property
    def flips(self) -> int:
        """The pairs in which the preference flipped with the order."""
        return self.first_flips + self.second_flips


@dataclass(frozen=True, kw_only=True, slots=True)
class MetricSummary:
    """One metric over the trials of a run, or over those of the cases with `tag`.

    `scored` of `due` trials have a value; `missing` counts the others by reason. The statistics are over
    the scored trials, in the metric's unit; None when there are none. `rate` is the share that passed;
    None for measurements. `people` estimates the mean that people would give instead of the judge.
    `preference` has the counts of a pairwise metric.
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
    preference: PreferenceCounts | None = None


@dataclass(frozen=True, slots=True)
class MetricPasses:
    """How many trials of a case pass one metric, in the baseline and now."""

    metric: str
    base_passed: int
    base_trials: int
    passed: int
    trials: int


@dataclass(frozen=True, kw_only=True, slots=True)
class CaseChange:
    """One case in baseline and candidate, or in the candidate alone.

    `status` is the status of the case in every report. `origin` says whether the case is the same in
    both runs. Passes are counted over completely scored trials, and a case passes when more than half of
    them do. `base_passed` and `passed` count only the metrics that both runs define in the same way,
    `passed_all` counts all metrics of the candidate. `flaky` is set when its trials in one of the runs
    disagree. `score_changed` is set when the mean of a metric left the range of the baseline's values.
    `newly_failing` is set when the case, or one of its metrics, passed in the baseline and fails now,
    even if it is flaky. `on_metric` has the counts of that metric, if the counts of the case do not show
    the change.
    """

    case_id: str
    status: CaseStatus
    origin: CaseOrigin = "shared"
    flaky: bool = False
    score_changed: bool = False
    newly_failing: bool = False
    base_passed: int = 0
    base_trials: int = 0
    passed: int = 0
    trials: int = 0
    passed_all: int = 0
    on_metric: MetricPasses | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class MetricChange:
    """One metric (in one tag) on the shared cases of two runs; `why_not` says why it cannot be compared."""

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
    """The comparison of two runs over the cases whose digests are equal in both."""

    base: str
    candidate: str
    metrics: tuple[MetricChange, ...] = ()
    cases: tuple[CaseChange, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class CaseContribution:
    """One case's part in a check, for naming the cases that affected it most.

    `metric` is the metric that the numbers are of; empty for passes of the case by all metrics.
    """

    case_id: str
    base: float
    base_trials: int
    candidate: float
    trials: int
    is_count: bool = True
    """Whether `base` and `candidate` count passes (10/10 -> 0/2) or are means (0.91 -> 0.40)."""
    metric: str = ""
    flaky: bool = False
    """Whether trials of the case in one of the runs disagree, for rules that count cases."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PopulationTest:
    """The test of whether other cases like these would get worse; cases or clusters are the sample.

    `low` and `high` bound a 90 % confidence interval of the check's difference; None if unknown.
    """

    clusters: int
    p_value: float
    low: float | None
    high: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Check:
    """The decision on one threshold: the outcome, a sentence about it, and its numbers.

    `low` and `high` bound the interval of `difference` (for rules that compare) or of `candidate` (for
    others) at the alpha of the rule and the look. `display_low` and `display_high` bound its 90 % interval,
    which several runs have in common. `p_value` is one-sided: the probability of a result this bad if
    nothing changed. An unchanged agent fails with a probability of at most `false_alarm`. A change of
    `smallest_detectable` (absolute value) fails 4 times in 5; None if no change does. `users` is the
    test about other cases like these. `to_decide` says what would decide an inconclusive check.
    `advisory` says why the check does not affect the result; empty if it does. `preference` has the counts of
    a pairwise metric.
    """

    rule: Rule
    outcome: Outcome
    sentence: str
    baseline: float | None = None
    candidate: float | None = None
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    display_low: float | None = None
    display_high: float | None = None
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
    preference: PreferenceCounts | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class GateChange:
    """One edit that a change makes to the gate it is checked against.

    `loosened` is false only if the edit can only tighten the gate or add to it. `case_ids` are the cases
    that it affects, if any.
    """

    kind: GateChangeKind
    sentence: str
    loosened: bool
    case_ids: tuple[str, ...] = ()
    where: Location = NO_LOCATION

    def __str__(self) -> str:
        return f"{self.sentence} ({self.where})" if self.where.path else self.sentence


@dataclass(frozen=True, kw_only=True, slots=True)
class GateReview:
    """The edits of a change to its own gate, compared with the gate of the ref `base` at `commit`.

    If `accepted`, the edits are approved and the change's own rules decide; otherwise the base's
    rules do. `notes` has further remarks about the base.
    """

    base: str
    commit: str
    changes: tuple[GateChange, ...] = ()
    accepted: bool = False
    notes: tuple[str, ...] = ()

    @property
    def loosening(self) -> tuple[GateChange, ...]:
        """The edits that require approval."""
        return tuple(change for change in self.changes if change.loosened)


@dataclass(frozen=True, kw_only=True, slots=True)
class GateResult:
    """The result of a gate. Every report and the exit code are made from it.

    `outcome` is `undecided` when the run is too incomplete for a decision, or requires approval.
    `reason` is one sentence. `asides` are those of the notes that only add numbers, such as odds and
    power; a short report leaves out no others. `gate` is set when the gate's definition came from another
    commit, `definition` when it came from this checkout and the report must say so. `acceptance` is set
    when the run would have failed or required approval, and a person accepted that; the exit code is then 0.
    """

    outcome: Outcome
    exit_code: int
    reason: str
    tally: Tally
    checks: tuple[Check, ...] = ()
    summaries: tuple[MetricSummary, ...] = ()
    comparison: Comparison | None = None
    notes: tuple[str, ...] = ()
    asides: frozenset[str] = frozenset()
    gate: GateReview | None = None
    definition: DefinitionSource | None = None
    acceptance: Acceptance | None = None

    @property
    def definition_sentence(self) -> str:
        """Where the gate's definition came from, if it was this checkout; else empty."""
        return self.definition.sentence if self.definition is not None else ""

    @property
    def word(self) -> str:
        """The word for the result: its outcome, or that a person accepted it or has to."""
        return result_word(
            self.outcome,
            is_accepted=self.acceptance is not None,
            needs_approval=self.exit_code == ApprovalNeeded.exit_code,
        )
