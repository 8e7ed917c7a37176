"""The false alarms of a gate as a table with what follows from it, or as strict JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import msgspec

from evalkit.core.format import format_count
from evalkit.core.literals import Json, Outcome
from evalkit.core.safe_text import format_json
from evalkit.report.screen import Cell, Screen, align_columns, heading, join_sections

_TITLES = ("", "failed", "90% interval", "inconclusive", "undecided", "passed")
_UNDECIDED_COLUMN = 4
ACCEPTED_FALSE_ALARM_RATE = 0.05
"""What a gate that nobody learns to ignore may fail an unchanged agent: 1 time in 20."""


def _share_text(rate: float) -> str:
    return f"{100 * rate:.1f}%"


def _row(count: FalseAlarmCount) -> list[Cell]:
    shares = {outcome: number / count.repeats for outcome, number in count.outcomes.items()}
    undecided = shares["undecided"]
    return [
        Cell(count.name, "bold" if count.level is None else ""),
        Cell(_share_text(count.fail_rate), "bad" if fails_too_often(count) else ""),
        Cell(f"{_share_text(count.low)} to {_share_text(count.high)}"),
        Cell(_share_text(shares["inconclusive"])),
        Cell(_share_text(undecided) if undecided else ""),
        Cell(_share_text(shares["pass"])),
    ]


def fails_too_often(count: FalseAlarmCount) -> bool:
    """Whether it surely fails an unchanged agent more often than it may."""
    level = ACCEPTED_FALSE_ALARM_RATE if count.level is None else count.level
    return count.low > level


def false_alarm_sentences(alarms: FalseAlarms) -> Iterator[str]:
    """What the counts say of the gate as a whole and of the thresholds that are too loud."""
    gate = alarms.gate
    failed = gate.outcomes["fail"]
    yield (
        f"The gate failed an agent that did not change {failed} of {format_count(gate.repeats, 'time')}"
        f" ({_share_text(gate.fail_rate)}, 90% interval {_share_text(gate.low)} to "
        f"{_share_text(gate.high)})."
    )
    for count in alarms.rules:
        if fails_too_often(count):
            level = ACCEPTED_FALSE_ALARM_RATE if count.level is None else count.level
            yield (
                f"{count.name} fails it more often than 1 time in {round(1 / level)}: give it room, "
                f"more cases or more trials."
            )
    if undecided := gate.outcomes["undecided"]:
        yield (
            f"{format_count(undecided, 'time')} the gate could not be applied at all: see evalkit gate."
        )
    unsure = gate.outcomes["inconclusive"]
    if unsure > gate.repeats / 2:
        yield (
            f"{unsure} times it was inconclusive, which is most: see evalkit power for what would "
            f"decide more often."
        )


def false_alarms_text(alarms: FalseAlarms, screen: Screen) -> str:
    """Render a gate's false alarms for a terminal."""
    gate = alarms.gate
    source = "runs of the agent" if alarms.from_runs else "draws from the baseline's own trials"
    trials = format_count(alarms.trials, "candidate trial")
    if alarms.mean_trials < alarms.trials:
        trials = f"1 to {trials} (on average {alarms.mean_trials:.2f})"
    sizes = (
        f"{gate.repeats:,} {source}: {format_count(alarms.cases, 'case')}, {alarms.base_trials} baseline "
        f"and {trials}, seed {alarms.seed}"
    )
    rows = [*map(_row, alarms.rules), _row(gate)]
    undecided = any(row[_UNDECIDED_COLUMN].text for row in rows)
    table = align_columns(
        rows,
        screen,
        titles=[
            title if number != _UNDECIDED_COLUMN or undecided else ""
            for number, title in enumerate(_TITLES)
        ],
        shrinkable={0: 16},
        right=frozenset(range(1, 6)),
    )
    sentences = [*false_alarm_sentences(alarms), *alarms.notes]
    return join_sections(
        [
            [
                heading(f"How {alarms.evalset}'s gate treats an agent that did not change", screen),
                *screen.fold(sizes, indent="  ", hang="  "),
            ],
            table,
            [part for line in sentences for part in screen.fold(line, hang="  ")],
        ]
    )


def _count_document(count: FalseAlarmCount) -> Json:
    return {**msgspec.to_builtins(count), "repeats": count.repeats, "fail_rate": count.fail_rate}


def false_alarms_json(alarms: FalseAlarms) -> str:
    """The same for programs, `evalkit.aa/v1`."""
    return format_json(
        {
            "schema": "evalkit.aa/v1",
            **msgspec.to_builtins(alarms),
            "gate": _count_document(alarms.gate),
            "rules": [_count_document(count) for count in alarms.rules],
            "sentences": list(false_alarm_sentences(alarms)),
        }
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class FalseAlarmCount:
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
class FalseAlarms:
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
    gate: FalseAlarmCount
    rules: tuple[FalseAlarmCount, ...]
    notes: tuple[str, ...] = ()
