"""Render the statistical power of a set as a terminal table with conclusions, and as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from evalkit.core.format import format_count, format_limit, format_share
from evalkit.core.run_budget import RunBudget
from evalkit.report.budget import budget_sentences
from evalkit.report.content import value_cell
from evalkit.report.documents import PropertyTable, render_record
from evalkit.report.screen import Cell, Screen, align_columns, heading, join_sections
from evalkit.stats.group_sequential import ALPHA_SHARES, LOOK_TRIALS
from evalkit.stats.power import WANTED_POWER

_TITLES = ("cases", "base", "trials", "{noun} found", "passes", "runs", "cost", "")

_LEGEND = (
    "base: baseline trials per case. {noun} found: the smallest one that fails 4 times in 5. passes: how "
    "often an unchanged agent passes."
)
_LOOKS_LEGEND = (
    f"looks: after {', '.join(map(str, LOOK_TRIALS))} trials per case, only while inconclusive, at "
    f"{', '.join(f'{share:.2f}' for share in ALPHA_SHARES)} of alpha in turn. "
    "runs: on average, if nothing changed."
)
_SIMULATED_LEGEND = "simulated: too few cases for the formula, so the gate's test was applied to 200 simulated runs."


@dataclass(frozen=True, kw_only=True, slots=True)
class DetectableDrop:
    """The drop that one design detects; the cost is None if no stored trial has one.

    `smallest_drop` fails 4 times in 5, None if no drop does. `pass_chance` is how often an unchanged
    agent passes. With `looks`, `trials` is the largest number per case and `mean_trials` the mean of
    an unchanged agent. `base_trials` is a harmonic mean per case. `now` marks the current design of the
    set, `simulated` a result from simulated runs instead of the formula.
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
        """The agent calls of a candidate; with looks, their mean if nothing changed."""
        return round(self.cases * self.mean_trials)


@dataclass(frozen=True, kw_only=True, slots=True)
class RequiredSize:
    """The size needed to detect a drop, or to rule it out, 4 times in 5.

    `chance` is that of the planned design. `cases` are needed with its trials, `trials` with its cases,
    `cases_at_most_trials` with the current baseline and five trials. None if no number suffices.
    """

    drop: float
    chance: float
    cases: int | None
    trials: int | None
    cases_at_most_trials: int | None


@dataclass(frozen=True, kw_only=True, slots=True)
class BrokenCasesPower:
    """What a `broken_cases` rule can prove with the current baseline.

    `eligible` of `cases` passed often enough to be run again if they fail, `fresh_trials` times each. If
    up to `at_once` cases always passed and now never do, all are proven broken; the rule fails with more
    than `allowed`. `chances` has pairs of a new pass rate and the chance that such a
    case is found and proven broken. `problem` says why nothing can be proven, empty otherwise.
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
    """The power of one threshold: assumptions, designs, and what it takes to detect more.

    `mean` is the pass rate; for a rise, one minus the rate. `noise` is the mean over cases of p(1-p).
    `flaky` counts cases whose baseline trials disagree, None without a baseline. `level` is the part of
    alpha of this one of `rules` thresholds; each look has a part of it. `max_drop` is allowed,
    `tolerated` is ruled out by a pass. `clusters` is the number of independent draws that the cases
    count as with `estimand: users`, None otherwise. `budget` says what a budget buys.
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
    budget: RunBudget | None = None
    notes: tuple[str, ...] = ()

    @property
    def sentences(self) -> list[str]:
        """The conclusions from the analysis."""
        proofs = (_proof_text(self, need) for need in self.proofs)
        bought = budget_sentences(self.budget) if self.budget is not None else ()
        found = (*bought, _need_text(self), *proofs, _broken_cases_text(self.broken))
        return list(filter(None, found))


JSON_PROPERTIES: PropertyTable = {DetectableDrop: ("runs",), PowerAnalysis: ("sentences",)}


def _row(design: DetectableDrop) -> list[Cell | str]:
    marks = (("now", design.now), ("looks", design.looks), ("simulated", design.simulated))
    mark = ", ".join(word for word, is_set in marks if is_set)
    return [
        f"{design.cases:,}",
        f"{design.base_trials:.3g}",
        _trials_text(design),
        ("none" if design.smallest_drop is None else f"{100 * design.smallest_drop:.1f} pt"),
        format_share(design.pass_chance),
        f"{design.runs:,}",
        ("" if design.cost_usd is None else value_cell(design.cost_usd, "usd")),
        Cell(mark, "dim"),
    ]


def _trials_text(design: DetectableDrop) -> str:
    return f"1 to {design.trials}" if design.looks else f"{design.trials:,}"


def _sizes_text(design: DetectableDrop) -> str:
    base = "trial" if design.base_trials == 1 else "trials"
    trials = "trial" if design.trials == 1 else "trials"
    return (
        f"{format_count(design.cases, 'case')}, {design.base_trials:.3g} baseline {base} and "
        f"{_trials_text(design)} {trials} of each"
    )


def _cost_text(power: PowerAnalysis, runs: int) -> str:
    cost = power.cost_per_run_usd
    priced = "" if cost is None else f", about {value_cell(cost * runs, 'usd')}"
    return f"{format_count(runs, 'run')}{priced}"


def _list_ways_to_detect(power: PowerAnalysis, need: RequiredSize) -> Iterator[str]:
    """Yield the ways to detect a drop, first the one that needs no new labels."""
    planned = power.planned
    if need.trials is not None:
        runs = need.trials * planned.cases
        yield f"{format_count(need.trials, 'trial')} of each case ({_cost_text(power, runs)})"
    if need.cases is not None:
        runs = round(need.cases * planned.mean_trials)
        yield f"about {format_count(need.cases, 'case')} ({_cost_text(power, runs)})"


def _unreachable_text(need: RequiredSize, where: str) -> str:
    if need.cases_at_most_trials is None:
        return f"{where}, nor on any other number."
    return f"{where}: it needs about {need.cases_at_most_trials:,}, even with 5 trials of each."


def _need_text(power: PowerAnalysis) -> str:
    """Return what it takes to detect the wanted drop."""
    need, noun = power.wanted, power.noun
    if need is None:
        return ""
    drop = f"{100 * need.drop:.1f}".removesuffix(".0") + " pt"
    cases = format_count(power.planned.cases, "case")
    if need.drop <= power.max_drop:
        allowed = format_limit(power.max_drop, "")
        return f"A {noun} of {drop} cannot be failed: the threshold allows {allowed}."
    failed = f"is failed {format_share(need.chance)} of the time"
    if need.chance >= WANTED_POWER:
        return f"A {noun} of {drop} {failed}, with {_sizes_text(power.planned)}."
    if need.trials is None:
        where = f"A {noun} of {drop} cannot be detected 4 times in 5 on {cases} at this noise"
        return f"{_unreachable_text(need, where)} As planned it {failed}."
    return f"A {noun} of {drop} {failed}; to make that 80%: {', or '.join(_list_ways_to_detect(power, need))}."


def _proof_text(power: PowerAnalysis, need: RequiredSize) -> str:
    """Return how often a larger change of an unchanged agent can be ruled out."""
    change = f"A {power.noun} of {format_limit(need.drop, '')}"
    chance = format_share(need.chance)
    if need.chance >= WANTED_POWER:
        return (
            f"{change} can be ruled out: an agent that did not change is proven to stay within it "
            f"{chance} of the time."
        )
    if need.trials is None:
        cases = format_count(power.planned.cases, "case")
        where = f"{change} cannot be ruled out 4 times in 5 on {cases} at this noise"
        return f"{_unreachable_text(need, where)} As planned it is ruled out {chance} of the time."
    return (
        f"{change} is ruled out only {chance} of the time when nothing changed; to make that 80%: "
        f"{', or '.join(_list_ways_to_detect(power, need))}."
    )


def _assumption_lines(power: PowerAnalysis) -> Iterator[str]:
    source = "assumed"
    if power.noise_from == "baseline":
        # The noise of a baseline without a flaky case is 0, which no estimate may be.
        source = "from the baseline" if power.flaky else "the least assumed"
    flaky = ""
    if power.flaky is not None:
        flaky = f"; {format_count(power.flaky, 'case')} flaky in the baseline by this metric"
    # For a rise, `mean` is one minus the rate.
    share = power.mean if power.noun == "drop" else 1 - power.mean
    yield f"{power.name} {value_cell(share, '')}, noise {power.noise:.3f} ({source}){flaky}"
    if power.clusters is not None:
        yield (
            f"about other cases like these, for which "
            f"{format_count(power.planned.cases, 'case')} count as {power.clusters:.3g} draws; a drop "
            f"that hits few cases hard is detected less often than stated"
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


def _broken_cases_text(broken: BrokenCasesPower | None) -> str:
    """Return what a `broken_cases` rule can prove."""
    if broken is None:
        return ""
    if broken.problem:
        return f"{broken.name} {broken.problem}"
    # The first chance is that of a case that never passes, which is always proven.
    others = " and ".join(
        f"{format_share(chance)} of the time if it still passes {100 * rate:.0f}% of its trials"
        for rate, chance in broken.chances[1:]
    )
    return (
        f"{broken.name} covers {broken.eligible} of {format_count(broken.cases, 'case')}, those that "
        f"passed at least 60% of the trials in the first half of the baseline. Up to {broken.at_once} "
        f"cases that always passed and now never do are all proven broken. A single "
        f"case that got worse is proven broken {others}. Each covered case that fails takes "
        f"{broken.fresh_trials} more runs."
    )


def power_text(power: PowerAnalysis, screen: Screen) -> str:
    """Render the power of a set for a terminal."""
    table = align_columns(
        [_row(design) for design in power.detectable_drops],
        screen,
        titles=[
            title.format(noun=power.noun)
            for title in _TITLES[:-2]
            + (("", "") if power.cost_per_run_usd is None else _TITLES[-2:])
        ],
        shrinkable={},
        right=range(7),
    )
    legend = [
        text.format(noun=power.noun)
        for text, is_needed in (
            (_LEGEND, True),
            (_LOOKS_LEGEND, any(design.looks for design in power.detectable_drops)),
            (_SIMULATED_LEGEND, any(design.simulated for design in power.detectable_drops)),
        )
        if is_needed
    ]
    return join_sections(
        [
            [
                heading(f"What {power.evalset} can detect: {power.name}", screen),
                *screen.fold_all(_assumption_lines(power), indent="  ", hang="  "),
            ],
            table,
            screen.fold_all(legend, indent="  ", hang="    "),
            screen.fold_all((*power.sentences, *power.notes), hang="  "),
        ]
    )


def power_json(power: PowerAnalysis) -> str:
    """Render the power of a set as an `evalkit.power/v1` document."""
    return render_record("evalkit.power/v1", power, JSON_PROPERTIES)
