"""Render how consistently cases pass, as terminal tables and as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from evalkit.compare.pairs import summarize_case_ids
from evalkit.core.format import format_count
from evalkit.report.content import NO_VALUE, value_cell
from evalkit.report.documents import PropertyTable, render_record
from evalkit.report.screen import Screen, align_columns, heading, join_sections


@dataclass(frozen=True, kw_only=True, slots=True)
class CaseFlakiness:
    """How consistently one case passes, over its stored trials.

    `flaky` is that of every report: its trials in the run, or in the baseline, disagree. `flip_rate` is
    the unbiased chance that two trials of one agent version disagree, None if no version has two.
    `all_pass` maps k to the unbiased chance that k trials all pass (pass^k).
    """

    case_id: str
    passed: int
    trials: int
    flip_rate: float | None
    all_pass: Mapping[int, float]
    flaky: bool = False

    @property
    def pass_rate(self) -> float | None:
        """The share of trials that passed, None without trials."""
        return self.passed / self.trials if self.trials else None


@dataclass(frozen=True, kw_only=True, slots=True)
class RunFlakiness:
    """How consistently the cases of one stored run or of the baseline pass, as means over cases."""

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
    """The cases of a run over all their stored trials, and the runs of those trials."""

    run: str
    evalset: str
    cases: tuple[CaseFlakiness, ...]
    runs: tuple[RunFlakiness, ...]
    notes: tuple[str, ...] = ()


JSON_PROPERTIES: PropertyTable = {CaseFlakiness: ("pass_rate",)}


def _chance_cells(chances: Mapping[int, float], ks: Sequence[int]) -> list[str]:
    return [value_cell(chances.get(k), "") for k in ks]


def _case_row(case: CaseFlakiness, ks: Sequence[int]) -> list[str]:
    return [
        case.case_id,
        f"{case.passed}/{case.trials}",
        value_cell(case.pass_rate, ""),
        value_cell(case.flip_rate, ""),
        *_chance_cells(case.all_pass, ks),
    ]


def _run_row(run: RunFlakiness, ks: Sequence[int]) -> list[str]:
    return [
        run.run,
        run.agent_version or NO_VALUE,
        f"{run.cases} x {run.trials}",
        value_cell(run.pass_rate, ""),
        value_cell(run.flip_rate, ""),
        *_chance_cells(run.all_pass, ks),
    ]


def _shown_ks(chances: Sequence[Mapping[int, float]], most: int) -> list[int]:
    """Return the smallest values of k that any row has."""
    return sorted({k for row in chances for k in row})[:most]


def flaky_text(found: Flakiness, screen: Screen) -> str:
    """Render the flaky cases, most flaky first, then every run."""
    flaky = sorted(
        (case for case in found.cases if case.flaky),
        key=lambda case: (-(case.flip_rate or 0.0), case.case_id),
    )
    total = sum(case.trials for case in found.cases)
    intro = (
        f"{len(flaky)} of {format_count(len(found.cases), 'case')} flaky: their trials disagree in run "
        f"{found.run} or in the baseline. The rates are over {total:,} trials in "
        f"{format_count(len(found.runs), 'stored run')}."
    )
    others = [case.case_id for case in found.cases if case.flip_rate and not case.flaky]
    earlier = [f"Trials of {summarize_case_ids(others)} disagree only in other stored runs."]
    case_ks = _shown_ks([case.all_pass for case in flaky], 3)
    run_ks = _shown_ks([run.all_pass for run in found.runs], 2)
    legend = (
        "flips: how often two trials of one agent version disagree. all of k: how often k trials all "
        "pass (pass^k)."
    )
    cases = align_columns(
        [_case_row(case, case_ks) for case in flaky],
        screen,
        titles=["case", "passed", "rate", "flips", *(f"all of {k}" for k in case_ks)],
        shrinkable={0: 16},
        right=range(1, 4 + len(case_ks)),
    )
    runs = align_columns(
        [_run_row(run, run_ks) for run in found.runs],
        screen,
        titles=["run", "agent", "trials", "rate", "flips", *(f"all of {k}" for k in run_ks)],
        shrinkable={1: 7, 0: 14},
        right=range(2, 5 + len(run_ks)),
    )
    return join_sections(
        [
            [
                heading(f"How consistently the cases of {found.evalset} pass", screen),
                *screen.fold(intro, indent="  ", hang="  "),
            ],
            cases,
            runs,
            [
                *screen.fold(legend, indent="  ", hang="    "),
                *screen.fold_all([*(earlier if others else ()), *found.notes], hang="  "),
            ],
        ]
    )


def flaky_json(found: Flakiness) -> str:
    """Render every case and run as an `evalkit.flaky/v1` document."""
    return render_record("evalkit.flaky/v1", found, JSON_PROPERTIES)
