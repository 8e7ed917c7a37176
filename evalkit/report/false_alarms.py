"""Render the false alarms of a gate as a terminal table with conclusions, and as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from evalkit.core.format import format_count
from evalkit.core.literals import Outcome
from evalkit.report.documents import PropertyTable, render_record
from evalkit.report.screen import Cell, Screen, align_columns, heading, join_sections

_TITLES = ("", "failed", "90% interval", "inconclusive", "undecided", "passed")
_UNDECIDED_COLUMN = 4
ACCEPTED_FALSE_ALARM_RATE = 0.05
"""The rate at which a gate may fail an unchanged agent before people ignore it: 1 time in 20."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FalseAlarmCount:
    """The outcomes of one threshold, or of the whole gate, for an unchanged agent.

    `low` and `high` are the 90 % Wilson interval of the failure rate. `level` is the largest failure rate
    that a threshold of this kind guarantees, None if it guarantees none.
    """

    name: str
    outcomes: Mapping[Outcome, int]
    low: float
    high: float
    level: float | None = None

    @property
    def repeats(self) -> int:
        """The number of decisions."""
        return sum(self.outcomes.values())

    @property
    def fail_rate(self) -> float:
        """The share of decisions that failed."""
        return self.outcomes["fail"] / self.repeats


@dataclass(frozen=True, kw_only=True, slots=True)
class FalseAlarms:
    """The false alarms of a set's gate, from resampled stored trials or from new runs.

    `trials` is the largest number of trials per case that a candidate may take, `mean_trials` the mean
    over all repeats.
    """

    evalset: str
    from_runs: bool
    cases: int
    base_trials: int
    trials: int
    mean_trials: float
    seed: int
    gate: FalseAlarmCount
    rules: tuple[FalseAlarmCount, ...]
    notes: tuple[str, ...] = ()

    @property
    def sentences(self) -> list[str]:
        """The conclusions about the gate, and about the thresholds that fail too often."""
        return list(_sentences(self))


JSON_PROPERTIES: PropertyTable = {
    FalseAlarmCount: ("repeats", "fail_rate"),
    FalseAlarms: ("sentences",),
}


def _share_text(rate: float) -> str:
    return f"{100 * rate:.1f}%"


def _row(count: FalseAlarmCount) -> list[Cell | str]:
    shares = {outcome: number / count.repeats for outcome, number in count.outcomes.items()}
    undecided = shares["undecided"]
    return [
        Cell(count.name, "bold" if count.level is None else ""),
        Cell(_share_text(count.fail_rate), "bad" if _fails_too_often(count) else ""),
        f"{_share_text(count.low)} to {_share_text(count.high)}",
        _share_text(shares["inconclusive"]),
        (_share_text(undecided) if undecided else ""),
        _share_text(shares["pass"]),
    ]


def _fails_too_often(count: FalseAlarmCount) -> bool:
    """Return whether the failure rate is significantly above its level, or above the acceptable rate."""
    level = ACCEPTED_FALSE_ALARM_RATE if count.level is None else count.level
    return count.low > level


def _sentences(alarms: FalseAlarms) -> Iterator[str]:
    """Yield conclusions about the gate and about the thresholds that fail too often."""
    gate = alarms.gate
    failed = gate.outcomes["fail"]
    yield (
        f"The gate failed an agent that did not change {failed} of {format_count(gate.repeats, 'time')}"
        f" ({_share_text(gate.fail_rate)}, 90% interval {_share_text(gate.low)} to "
        f"{_share_text(gate.high)})."
    )
    for count in alarms.rules:
        if _fails_too_often(count):
            level = ACCEPTED_FALSE_ALARM_RATE if count.level is None else count.level
            yield (
                f"{count.name} fails it more often than 1 time in {round(1 / level)}: relax the limit, or "
                f"use more cases or more trials."
            )
    if undecided := gate.outcomes["undecided"]:
        yield (f"The gate was undecided {format_count(undecided, 'time')}: see evalkit gate.")
    unsure = gate.outcomes["inconclusive"]
    if unsure > gate.repeats / 2:
        yield (
            f"It was inconclusive {unsure} times, more than half: see evalkit power for what would "
            f"decide more often."
        )


def false_alarms_text(alarms: FalseAlarms, screen: Screen) -> str:
    """Render a gate's false alarms for a terminal."""
    gate = alarms.gate
    source = "runs of the agent" if alarms.from_runs else "draws from the trials of the baseline"
    trials = format_count(alarms.trials, "candidate trial")
    if alarms.mean_trials < alarms.trials:
        trials = f"1 to {trials} (on average {alarms.mean_trials:.2f})"
    sizes = (
        f"{gate.repeats:,} {source}: {format_count(alarms.cases, 'case')}, {alarms.base_trials} baseline "
        f"and {trials}, seed {alarms.seed}"
    )
    counts = [*alarms.rules, gate]
    titles = list(_TITLES)
    if not any(count.outcomes["undecided"] for count in counts):
        # A column without title and texts is left out.
        titles[_UNDECIDED_COLUMN] = ""
    table = align_columns(
        map(_row, counts), screen, titles=titles, shrinkable={0: 16}, right=range(1, 6)
    )
    sentences = [*alarms.sentences, *alarms.notes]
    return join_sections(
        [
            [
                heading(f"How {alarms.evalset}'s gate treats an agent that did not change", screen),
                *screen.fold(sizes, indent="  ", hang="  "),
            ],
            table,
            screen.fold_all(sentences, hang="  "),
        ]
    )


def false_alarms_json(alarms: FalseAlarms) -> str:
    """Render a gate's false alarms as an `evalkit.aa/v1` document."""
    return render_record("evalkit.aa/v1", alarms, JSON_PROPERTIES)
