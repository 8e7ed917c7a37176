"""What a set can see, as a table with the sentences that follow from it, or as strict JSON."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from evalkit.findings import BrokenPower, Need, Power, Sight
from evalkit.reports.layout import Cell, Screen, align, finish, heading
from evalkit.reports.numbers import value_text
from evalkit.spelling import count_of, limit_text
from evalkit.statistics.power import WANTED_POWER
from evalkit.statistics.sequence import LOOK_SHARES
from evalkit.text import json_block

_TITLES = ("cases", "baseline", "trials", "smallest {noun}", "proves a pass", "runs", "cost", "")

_MEANING = "smallest {noun}: failed 4 times in 5. proves a pass: how often an agent that did not change passes."
_LOOKS = (
    f"looks: one trial of every case, then more only while undecided, at "
    f"{', '.join(f'{share:.2f}' for share in LOOK_SHARES)} of alpha in turn. runs: on average, when nothing "
    f"changed."
)
_SIMULATED = "simulated: so few are beyond the formula; the gate's own test decided 200 runs drawn at random."


def chance_text(chance: float) -> str:
    """A chance in whole percent, which never reads as certainty or as 80 where it is less."""
    return f"{min(max(int(100 * chance + 1e-9), 0), 99)}%"


def points_text(drop: float) -> str:
    """A drop in points to one decimal: `6.4 pt`, `5 pt`."""
    return f"{100 * drop:.1f}".removesuffix(".0") + " pt"


def _row(sight: Sight) -> list[Cell]:
    marks = (("now", sight.now), ("looks", sight.looks), ("simulated", sight.simulated))
    mark = ", ".join(word for word, holds in marks if holds)
    return [
        Cell(f"{sight.cases:,}"),
        Cell(f"{sight.base_trials:.3g}"),
        Cell(_trials_text(sight)),
        Cell("none" if sight.smallest_drop is None else f"{100 * sight.smallest_drop:.1f} pt"),
        Cell(chance_text(sight.pass_chance)),
        Cell(f"{sight.runs:,}"),
        Cell("" if sight.cost_usd is None else value_text(sight.cost_usd, "usd")),
        Cell(mark, "dim"),
    ]


def _trials_text(sight: Sight) -> str:
    return f"1 to {sight.trials}" if sight.looks else f"{sight.trials:,}"


def _sizes_text(sight: Sight) -> str:
    base = "trial" if sight.base_trials == 1 else "trials"
    trials = "trial" if sight.trials == 1 else "trials"
    return (
        f"{count_of(sight.cases, 'case')}, {sight.base_trials:.3g} baseline {base} and "
        f"{_trials_text(sight)} {trials} of each"
    )


def _cost_text(power: Power, runs: int) -> str:
    cost = power.cost_per_run_usd
    priced = "" if cost is None else f", about {value_text(cost * runs, 'usd')}"
    return f"{count_of(runs, 'run')}{priced}"


def _ways(power: Power, need: Need) -> Iterator[str]:
    """What would suffice, beginning with what costs no new labels."""
    planned = power.planned
    if need.trials is not None:
        runs = need.trials * planned.cases
        yield f"{count_of(need.trials, 'trial')} of each case ({_cost_text(power, runs)})"
    if need.cases is not None:
        runs = round(need.cases * planned.mean_trials)
        yield f"about {count_of(need.cases, 'case')} ({_cost_text(power, runs)})"


def _cannot_text(need: Need, where: str) -> str:
    if need.cases_at_most_trials is None:
        return f"{where}, and no number of cases would."
    return f"{where}: it needs about {need.cases_at_most_trials:,}, even with 5 trials of each."


def need_text(power: Power) -> str:
    """What the wanted drop takes, or that it cannot be had."""
    need, noun = power.wanted, power.noun
    if need is None:
        return ""
    drop, cases = points_text(need.drop), count_of(power.planned.cases, "case")
    if need.drop <= power.max_drop:
        allowed = limit_text(power.max_drop, "")
        return f"A {noun} of {drop} cannot be failed: the threshold allows {allowed}."
    seen = f"A {noun} of {drop} is failed {chance_text(need.chance)} of the time"
    if need.chance >= WANTED_POWER:
        return f"{seen}, with {_sizes_text(power.planned)}."
    if need.trials is None:
        where = f"A {noun} of {drop} cannot be seen 4 times in 5 on {cases} at this noise"
        return f"{_cannot_text(need, where)} As planned it is failed {chance_text(need.chance)} of the time."
    return f"{seen}; to make that 80%: {', or '.join(_ways(power, need))}."


def proof_text(power: Power, need: Need) -> str:
    """Whether an agent that did not change can be proven to be within a tolerance."""
    tolerance, cases = limit_text(need.drop, ""), count_of(power.planned.cases, "case")
    chance = chance_text(need.chance)
    if need.chance >= WANTED_POWER:
        return (
            f"A {tolerance.replace(' ', '-')} tolerance can be certified: an agent that did not "
            f"change is proven to keep to it {chance} of the time."
        )
    if need.trials is None:
        where = f"A {tolerance.replace(' ', '-')} tolerance cannot be certified on {cases} at this noise"
        return _cannot_text(need, where)
    return (
        f"A {tolerance.replace(' ', '-')} tolerance is certified only {chance} of the time when "
        f"nothing changed; to make that 80%: {', or '.join(_ways(power, need))}."
    )


def _basis(power: Power) -> Iterator[str]:
    source = "assumed"
    if power.noise_from == "baseline":
        source = "from the baseline"
    flaky = (
        "" if power.flaky is None else f"; {count_of(power.flaky, 'case')} flaky in the baseline"
    )
    # For a rise, what counts as good is that a trial does not show what is measured.
    share = power.mean if power.noun == "drop" else 1 - power.mean
    yield f"{power.name} {value_text(share, '')}, noise {power.noise:.3f} ({source}){flaky}"
    if power.clusters is not None:
        yield (
            f"asks about other cases like these, for which {count_of(power.planned.cases, 'case')} count "
            f"as {power.clusters:.3g} draws; a drop that hits few cases hard is seen less often than said"
        )
    shared = ""
    if power.rules > 1:
        shared = f", shared with {count_of(power.rules - 1, 'other threshold')}: {power.level:.3g}"
    yield (
        f"fails a {power.noun} beyond {limit_text(power.max_drop, '')} at alpha {power.alpha:g}"
        f"{shared}; passes when {limit_text(power.tolerated, '')} is ruled out"
    )


def broken_text(broken: BrokenPower | None) -> str:
    """What a rule on broken cases can prove."""
    if broken is None:
        return ""
    if broken.problem:
        return f"{broken.name} {broken.problem}"
    (_, certain), *rest = broken.chances
    others = " and ".join(
        f"one that still passes {100 * rate:.0f}% of the time {chance_text(chance)}"
        for rate, chance in rest
    )
    return (
        f"{broken.name} watches {broken.watched} of {count_of(broken.cases, 'case')}, those that passed "
        f"3 times in 5 in the first half of the baseline. A case that passed always and never does now "
        f"is proven broken {'always' if certain > 1 - 1e-9 else chance_text(certain)}, up to "
        f"{broken.at_once} of them at once; of those that get worse alone, {others} of the time. Each "
        f"watched case that fails takes {broken.fresh_trials} more runs."
    )


def _sentences(power: Power) -> list[str]:
    proofs = (proof_text(power, need) for need in power.proofs)
    return list(filter(None, (need_text(power), *proofs, broken_text(power.broken))))


def power_text(power: Power, screen: Screen) -> str:
    """Render what a set can see for a terminal."""
    table = align(
        [_row(sight) for sight in power.sights],
        screen,
        titles=[
            title.format(noun=power.noun)
            for title in _TITLES[:-2]
            + (("", "") if power.cost_per_run_usd is None else _TITLES[-2:])
        ],
        shrinkable={7: 0},
        right=frozenset(range(7)),
    )
    legend = [
        text.format(noun=power.noun)
        for text, holds in (
            (_MEANING, True),
            (_LOOKS, any(sight.looks for sight in power.sights)),
            (_SIMULATED, any(sight.simulated for sight in power.sights)),
        )
        if holds
    ]
    sentences = _sentences(power)
    return finish(
        [
            [
                heading(f"What {power.evalset} can see: {power.name}", screen),
                *(
                    part
                    for line in _basis(power)
                    for part in screen.fold(line, indent="  ", hang="  ")
                ),
            ],
            table,
            [part for line in legend for part in screen.fold(line, indent="  ", hang="    ")],
            [part for line in (*sentences, *power.notes) for part in screen.fold(line, hang="  ")],
        ]
    )


def power_json(power: Power) -> str:
    """The same for programs, `evalkit.power/v1`."""
    document = msgspec.to_builtins(power)
    for sight, row in zip(power.sights, document["sights"], strict=True):
        row["runs"] = sight.runs
    document["planned"]["runs"] = power.planned.runs
    sentences = _sentences(power)
    return json_block(
        {
            "schema": "evalkit.power/v1",
            **document,
            "sentences": sentences,
        }
    )
