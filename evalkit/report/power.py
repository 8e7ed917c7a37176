"""What a set can see, as a table with the sentences that follow from it, or as strict JSON."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import msgspec

from evalkit.core.format import format_count, format_limit
from evalkit.core.safe_text import format_json
from evalkit.report.numbers import value_cell
from evalkit.report.screen import Cell, Screen, align_columns, heading, join_sections
from evalkit.stats.group_sequential import ALPHA_SHARES
from evalkit.stats.power import WANTED_POWER

_TITLES = ("cases", "baseline", "trials", "smallest {noun}", "proves a pass", "runs", "cost", "")

_LEGEND = "smallest {noun}: failed 4 times in 5. proves a pass: how often an agent that did not change passes."
_LOOKS_LEGEND = (
    f"looks: one trial of every case, then more only while undecided, at "
    f"{', '.join(f'{share:.2f}' for share in ALPHA_SHARES)} of alpha in turn. runs: on average, when nothing "
    f"changed."
)
_SIMULATED_LEGEND = "simulated: so few are beyond the formula; the gate's own test decided 200 runs drawn at random."


def chance_text(chance: float) -> str:
    """A chance in whole percent, which never reads as certainty or as 80 where it is less."""
    return f"{min(max(int(100 * chance + 1e-9), 0), 99)}%"


def points_text(drop: float) -> str:
    """A drop in points to one decimal: `6.4 pt`, `5 pt`."""
    return f"{100 * drop:.1f}".removesuffix(".0") + " pt"


def _row(sight: DetectableDrop) -> list[Cell]:
    marks = (("now", sight.now), ("looks", sight.looks), ("simulated", sight.simulated))
    mark = ", ".join(word for word, holds in marks if holds)
    return [
        Cell(f"{sight.cases:,}"),
        Cell(f"{sight.base_trials:.3g}"),
        Cell(_trials_text(sight)),
        Cell("none" if sight.smallest_drop is None else f"{100 * sight.smallest_drop:.1f} pt"),
        Cell(chance_text(sight.pass_chance)),
        Cell(f"{sight.runs:,}"),
        Cell("" if sight.cost_usd is None else value_cell(sight.cost_usd, "usd")),
        Cell(mark, "dim"),
    ]


def _trials_text(sight: DetectableDrop) -> str:
    return f"1 to {sight.trials}" if sight.looks else f"{sight.trials:,}"


def _sizes_text(sight: DetectableDrop) -> str:
    base = "trial" if sight.base_trials == 1 else "trials"
    trials = "trial" if sight.trials == 1 else "trials"
    return (
        f"{format_count(sight.cases, 'case')}, {sight.base_trials:.3g} baseline {base} and "
        f"{_trials_text(sight)} {trials} of each"
    )


def _cost_text(power: PowerAnalysis, runs: int) -> str:
    cost = power.cost_per_run_usd
    priced = "" if cost is None else f", about {value_cell(cost * runs, 'usd')}"
    return f"{format_count(runs, 'run')}{priced}"


def _list_ways_to_detect(power: PowerAnalysis, need: RequiredSize) -> Iterator[str]:
    """What would suffice, beginning with what costs no new labels."""
    planned = power.planned
    if need.trials is not None:
        runs = need.trials * planned.cases
        yield f"{format_count(need.trials, 'trial')} of each case ({_cost_text(power, runs)})"
    if need.cases is not None:
        runs = round(need.cases * planned.mean_trials)
        yield f"about {format_count(need.cases, 'case')} ({_cost_text(power, runs)})"


def _unreachable_text(need: RequiredSize, where: str) -> str:
    if need.cases_at_most_trials is None:
        return f"{where}, and no number of cases would."
    return f"{where}: it needs about {need.cases_at_most_trials:,}, even with 5 trials of each."


def need_text(power: PowerAnalysis) -> str:
    """What the wanted drop takes, or that it cannot be had."""
    need, noun = power.wanted, power.noun
    if need is None:
        return ""
    drop, cases = points_text(need.drop), format_count(power.planned.cases, "case")
    if need.drop <= power.max_drop:
        allowed = format_limit(power.max_drop, "")
        return f"A {noun} of {drop} cannot be failed: the threshold allows {allowed}."
    seen = f"A {noun} of {drop} is failed {chance_text(need.chance)} of the time"
    if need.chance >= WANTED_POWER:
        return f"{seen}, with {_sizes_text(power.planned)}."
    if need.trials is None:
        where = f"A {noun} of {drop} cannot be seen 4 times in 5 on {cases} at this noise"
        return f"{_unreachable_text(need, where)} As planned it is failed {chance_text(need.chance)} of the time."
    return f"{seen}; to make that 80%: {', or '.join(_list_ways_to_detect(power, need))}."


def proof_text(power: PowerAnalysis, need: RequiredSize) -> str:
    """Whether an agent that did not change can be proven to be within a tolerance."""
    tolerance, cases = format_limit(need.drop, ""), format_count(power.planned.cases, "case")
    chance = chance_text(need.chance)
    if need.chance >= WANTED_POWER:
        return (
            f"A {tolerance.replace(' ', '-')} tolerance can be certified: an agent that did not "
            f"change is proven to keep to it {chance} of the time."
        )
    if need.trials is None:
        where = f"A {tolerance.replace(' ', '-')} tolerance cannot be certified on {cases} at this noise"
        return _unreachable_text(need, where)
    return (
        f"A {tolerance.replace(' ', '-')} tolerance is certified only {chance} of the time when "
        f"nothing changed; to make that 80%: {', or '.join(_list_ways_to_detect(power, need))}."
    )


def _assumption_lines(power: PowerAnalysis) -> Iterator[str]:
    source = "assumed"
    if power.noise_from == "baseline":
        source = "from the baseline"
    flaky = (
        ""
        if power.flaky is None
        else f"; {format_count(power.flaky, 'case')} flaky in the baseline"
    )
    # For a rise, what counts as good is that a trial does not show what is measured.
    share = power.mean if power.noun == "drop" else 1 - power.mean
    yield f"{power.name} {value_cell(share, '')}, noise {power.noise:.3f} ({source}){flaky}"
    if power.clusters is not None:
        yield (
            f"asks about other cases like these, for which {format_count(power.planned.cases, 'case')} count "
            f"as {power.clusters:.3g} draws; a drop that hits few cases hard is seen less often than said"
        )
    shared = ""
    if power.rules > 1:
        shared = (
            f", shared with {format_count(power.rules - 1, 'other threshold')}: {power.level:.3g}"
        )
    yield (
        f"fails a {power.noun} beyond {format_limit(power.max_drop, '')} at alpha {power.alpha:g}"
        f"{shared}; passes when {format_limit(power.tolerated, '')} is ruled out"
    )


def broken_cases_text(broken: BrokenCasesPower | None) -> str:
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
        f"{broken.name} watches {broken.eligible} of {format_count(broken.cases, 'case')}, those that passed "
        f"3 times in 5 in the first half of the baseline. A case that passed always and never does now "
        f"is proven broken {'always' if certain > 1 - 1e-9 else chance_text(certain)}, up to "
        f"{broken.at_once} of them at once; of those that get worse alone, {others} of the time. Each "
        f"watched case that fails takes {broken.fresh_trials} more runs."
    )


def _sentences(power: PowerAnalysis) -> list[str]:
    proofs = (proof_text(power, need) for need in power.proofs)
    return list(filter(None, (need_text(power), *proofs, broken_cases_text(power.broken))))


def power_text(power: PowerAnalysis, screen: Screen) -> str:
    """Render what a set can see for a terminal."""
    table = align_columns(
        [_row(sight) for sight in power.detectable_drops],
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
            (_LEGEND, True),
            (_LOOKS_LEGEND, any(sight.looks for sight in power.detectable_drops)),
            (_SIMULATED_LEGEND, any(sight.simulated for sight in power.detectable_drops)),
        )
        if holds
    ]
    sentences = _sentences(power)
    return join_sections(
        [
            [
                heading(f"What {power.evalset} can see: {power.name}", screen),
                *(
                    part
                    for line in _assumption_lines(power)
                    for part in screen.fold(line, indent="  ", hang="  ")
                ),
            ],
            table,
            [part for line in legend for part in screen.fold(line, indent="  ", hang="    ")],
            [part for line in (*sentences, *power.notes) for part in screen.fold(line, hang="  ")],
        ]
    )


def power_json(power: PowerAnalysis) -> str:
    """The same for programs, `evalkit.power/v1`."""
    document = msgspec.to_builtins(power)
    for sight, row in zip(power.detectable_drops, document["detectable_drops"], strict=True):
        row["runs"] = sight.runs
    document["planned"]["runs"] = power.planned.runs
    sentences = _sentences(power)
    return format_json(
        {
            "schema": "evalkit.power/v1",
            **document,
            "sentences": sentences,
        }
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class DetectableDrop:
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
class RequiredSize:
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
class BrokenCasesPower:
    """What a rule on broken cases can prove with the baseline there is.

    `watched` of `cases` passed often enough in it to be run again when they fail, `fresh_trials` times
    each. Up to `at_once` that always passed and never do now are all proven; it takes more than
    `allowed` to fail. `chances` maps a pass rate now to the chance that such a case is found and proven.
    `problem` says why nothing can be.
    """

    name: str
    allowed: int
    cases: int
    eligible: int
    base_trials: int
    fresh_trials: int
    at_once: int
    chances: tuple[tuple[float, float], ...]
    problem: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class PowerAnalysis:
    """What a set can see with one threshold: the assumptions, a table of designs, what more would take.

    `mean` is the share that passes (for a rise: that fails not), `noise` the mean over cases of
    p(1-p); `flaky` counts cases whose baseline trials disagree, None without a baseline. `level` is
    what one of `rules` thresholds has left of alpha, and at each look less. `clusters` is how many draws
    the cases count as when it is asked about other cases like these, None when it is not.
    """

    evalset: str
    name: str
    noun: str
    planned: DetectableDrop
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
    detectable_drops: tuple[DetectableDrop, ...]
    wanted: RequiredSize | None
    proofs: tuple[RequiredSize, ...]
    cost_per_run_usd: float | None
    broken: BrokenCasesPower | None = None
    notes: tuple[str, ...] = ()
