"""The false alarms of a gate as a table with what follows from it, or as strict JSON."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from evalkit.findings import AlarmCount, Alarms
from evalkit.records import Json
from evalkit.reports.layout import Cell, Screen, align, finish, heading
from evalkit.spelling import count_of
from evalkit.text import json_block

_TITLES = ("", "failed", "90% interval", "inconclusive", "undecided", "passed")
_UNDECIDED = 4
USUAL_LEVEL = 0.05
"""What a gate that nobody learns to ignore may fail an unchanged agent: 1 time in 20."""


def _share_text(rate: float) -> str:
    return f"{100 * rate:.1f}%"


def _row(count: AlarmCount) -> list[Cell]:
    shares = {outcome: number / count.repeats for outcome, number in count.outcomes.items()}
    undecided = shares["undecided"]
    return [
        Cell(count.name, "bold" if count.level is None else ""),
        Cell(_share_text(count.fail_rate), "bad" if is_loud(count) else ""),
        Cell(f"{_share_text(count.low)} to {_share_text(count.high)}"),
        Cell(_share_text(shares["inconclusive"])),
        Cell(_share_text(undecided) if undecided else ""),
        Cell(_share_text(shares["pass"])),
    ]


def is_loud(count: AlarmCount) -> bool:
    """Whether it surely fails an unchanged agent more often than it may."""
    level = USUAL_LEVEL if count.level is None else count.level
    return count.low > level


def alarm_sentences(alarms: Alarms) -> Iterator[str]:
    """What the counts say of the gate as a whole and of the thresholds that are too loud."""
    gate = alarms.gate
    failed = gate.outcomes["fail"]
    yield (
        f"The gate failed an agent that did not change {failed} of {count_of(gate.repeats, 'time')}"
        f" ({_share_text(gate.fail_rate)}, 90% interval {_share_text(gate.low)} to "
        f"{_share_text(gate.high)})."
    )
    for count in alarms.rules:
        if is_loud(count):
            level = USUAL_LEVEL if count.level is None else count.level
            yield (
                f"{count.name} fails it more often than 1 time in {round(1 / level)}: give it room, "
                f"more cases or more trials."
            )
    if undecided := gate.outcomes["undecided"]:
        yield (
            f"{count_of(undecided, 'time')} the gate could not be applied at all: see evalkit gate."
        )
    unsure = gate.outcomes["inconclusive"]
    if unsure > gate.repeats / 2:
        yield (
            f"{unsure} times it was inconclusive, which is most: see evalkit power for what would "
            f"decide more often."
        )


def alarms_text(alarms: Alarms, screen: Screen) -> str:
    """Render a gate's false alarms for a terminal."""
    gate = alarms.gate
    source = "runs of the agent" if alarms.from_runs else "draws from the baseline's own trials"
    trials = count_of(alarms.trials, "candidate trial")
    if alarms.mean_trials < alarms.trials:
        trials = f"1 to {trials} (on average {alarms.mean_trials:.2f})"
    sizes = (
        f"{gate.repeats:,} {source}: {count_of(alarms.cases, 'case')}, {alarms.base_trials} baseline "
        f"and {trials}, seed {alarms.seed}"
    )
    rows = [*map(_row, alarms.rules), _row(gate)]
    undecided = any(row[_UNDECIDED].text for row in rows)
    table = align(
        rows,
        screen,
        titles=[
            title if number != _UNDECIDED or undecided else ""
            for number, title in enumerate(_TITLES)
        ],
        shrinkable={0: 16},
        right=frozenset(range(1, 6)),
    )
    sentences = [*alarm_sentences(alarms), *alarms.notes]
    return finish(
        [
            [
                heading(f"How {alarms.evalset}'s gate treats an agent that did not change", screen),
                *screen.fold(sizes, indent="  ", hang="  "),
            ],
            table,
            [part for line in sentences for part in screen.fold(line, hang="  ")],
        ]
    )


def _count_document(count: AlarmCount) -> Json:
    return {**msgspec.to_builtins(count), "repeats": count.repeats, "fail_rate": count.fail_rate}


def alarms_json(alarms: Alarms) -> str:
    """The same for programs, `evalkit.aa/v1`."""
    return json_block(
        {
            "schema": "evalkit.aa/v1",
            **msgspec.to_builtins(alarms),
            "gate": _count_document(alarms.gate),
            "rules": [_count_document(count) for count in alarms.rules],
            "sentences": list(alarm_sentences(alarms)),
        }
    )
