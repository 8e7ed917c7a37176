"""`evalkit gate`: decide again on a stored run, paying nothing."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from evalkit.deciding import BaselineChoice, Tolerance, judge, read_baseline_of, report_on
from evalkit.errors import InvalidInput
from evalkit.hints import Place
from evalkit.loading.evalset import load_evalset
from evalkit.plan import DEFAULT_GATE
from evalkit.project import find_root
from evalkit.records import Json, Rule, Run
from evalkit.refs import resolve_run
from evalkit.reports.report import Report
from evalkit.world import World


@dataclass(frozen=True, kw_only=True, slots=True)
class Standard:
    """What a run is held to: thresholds and the settings that bear on the decision."""

    rules: tuple[Rule, ...]
    settings: dict[str, Json]


def gate(ref: str, against: BaselineChoice, world: World) -> Report:
    """Hold a stored run to the thresholds its eval set has today.

    Raises:
        InvalidInput: no such run, or the eval set is broken.
        StoreError: the run or its baseline cannot be read.
    """
    root = find_root(world.cwd, world.cwd)
    run = resolve_run(ref, root=root, cwd=world.cwd)
    standard = read_standard(run, root)
    place = Place(root=root, cwd=world.cwd)
    baseline = read_baseline_of(run, against, root=root, cwd=world.cwd)
    verdict = judge(
        run,
        standard.rules,
        baseline,
        Tolerance.of(standard.settings),
        place,
        allow_missing=against.allow_missing,
    )
    return report_on(run, verdict, baseline, place)


def read_standard(run: Run, root: Path) -> Standard:
    """Today's thresholds, or those stored with the run when its eval set is not at hand."""
    path = root / run.header.evalset_path
    if not path.is_file():
        return Standard(rules=run.header.gate, settings=dict(run.header.settings))
    evalset, problems = load_evalset(path, root=root)
    if problems:
        raise InvalidInput(problems)
    return Standard(
        rules=evalset.gate or DEFAULT_GATE,
        settings={**run.header.settings, **evalset.settings},
    )
