"""How steadily cases pass, as tables or as strict JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from evalkit.findings import CaseHistory, Flakiness, RunHistory
from evalkit.reports.layout import Cell, Screen, align, finish, heading
from evalkit.reports.numbers import NO_VALUE, value_text
from evalkit.spelling import count_of
from evalkit.text import json_block


def _chance_cells(chances: Mapping[int, float], ks: Sequence[int]) -> list[Cell]:
    return [Cell(value_text(chances.get(k), "")) for k in ks]


def _case_row(case: CaseHistory, ks: Sequence[int]) -> list[Cell]:
    return [
        Cell(case.case_id),
        Cell(f"{case.passed}/{case.trials}"),
        Cell(value_text(case.passed / case.trials, "")),
        Cell(value_text(case.flip_rate, "")),
        *_chance_cells(case.all_pass, ks),
    ]


def _run_row(run: RunHistory, ks: Sequence[int]) -> list[Cell]:
    return [
        Cell(run.run),
        Cell(run.agent_version or NO_VALUE),
        Cell(f"{run.cases} x {run.trials}"),
        Cell(value_text(run.pass_rate, "")),
        Cell(value_text(run.flip_rate, "")),
        *_chance_cells(run.all_pass, ks),
    ]


def _ks(chances: Sequence[Mapping[int, float]], most: int) -> list[int]:
    """The k that any row has, the first few."""
    return sorted({k for row in chances for k in row})[:most]


def flaky_text(found: Flakiness, screen: Screen) -> str:
    """Render the cases whose trials disagree, the least steady first, then every run."""
    flaky = sorted(
        (case for case in found.cases if case.flaky),
        key=lambda case: (-(case.flip_rate or 0.0), case.case_id),
    )
    total = sum(case.trials for case in found.cases)
    opening = (
        f"{len(flaky)} of {count_of(len(found.cases), 'case')} flaky, over {total:,} trials in "
        f"{count_of(len(found.runs), 'stored run')}"
    )
    case_ks = _ks([case.all_pass for case in flaky], 3)
    run_ks = _ks([run.all_pass for run in found.runs], 2)
    legend = (
        "flips: how often two trials of one agent version disagree. all of k: how often k trials all "
        "pass (pass^k)."
    )
    cases = align(
        [_case_row(case, case_ks) for case in flaky],
        screen,
        titles=["case", "passed", "rate", "flips", *(f"all of {k}" for k in case_ks)],
        shrinkable={0: 16},
        right=frozenset(range(1, 4 + len(case_ks))),
    )
    runs = align(
        [_run_row(run, run_ks) for run in found.runs],
        screen,
        titles=["run", "agent", "trials", "rate", "flips", *(f"all of {k}" for k in run_ks)],
        shrinkable={1: 7, 0: 14},
        right=frozenset(range(2, 5 + len(run_ks))),
    )
    return finish(
        [
            [
                heading(f"How steadily the cases of {found.evalset} pass", screen),
                *screen.fold(opening, indent="  ", hang="  "),
            ],
            cases,
            runs,
            [
                *screen.fold(legend, indent="  ", hang="    "),
                *(part for note in found.notes for part in screen.fold(note, hang="  ")),
            ],
        ]
    )


def _keyed(chances: Mapping[int, float]) -> dict[str, float]:
    return {str(k): chance for k, chance in chances.items()}


def flaky_json(found: Flakiness) -> str:
    """The same for programs, every case in it, as `evalkit.flaky/v1`."""
    return json_block(
        {
            "schema": "evalkit.flaky/v1",
            **msgspec.to_builtins(found),
            "cases": [
                {
                    **msgspec.to_builtins(case),
                    "all_pass": _keyed(case.all_pass),
                    "pass_rate": case.passed / case.trials if case.trials else None,
                    "flaky": case.flaky,
                }
                for case in found.cases
            ],
            "runs": [
                {**msgspec.to_builtins(run), "all_pass": _keyed(run.all_pass)} for run in found.runs
            ],
        }
    )
