"""`evalkit gate`: decide again on a stored run, paying nothing."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from evalkit.baseline import baseline_path
from evalkit.basing import Basis, GateChoice, find_baseline, open_basis
from evalkit.deciding import Tolerance, judge, report_on, review_verdict
from evalkit.errors import InvalidInput
from evalkit.hints import Place
from evalkit.holding import rival_id
from evalkit.loading.evalset import load_evalset
from evalkit.plan import DEFAULT_GATE
from evalkit.project import find_root
from evalkit.records import EvalSet, Json, Rule, Run
from evalkit.refs import BaselineChoice, resolve_run
from evalkit.reports.report import Report
from evalkit.world import World


@dataclass(frozen=True, kw_only=True, slots=True)
class Standard:
    """What a run is held to: thresholds and the settings that bear on the decision."""

    rules: tuple[Rule, ...]
    settings: dict[str, Json]


def gate(ref: str, against: BaselineChoice, choice: GateChoice | None, world: World) -> Report:
    """Hold a stored run to the thresholds its eval set has today, or has at the base.

    Raises:
        InvalidInput: no such run or base, or the eval set is broken.
        StoreError: the run or its baseline cannot be read.
    """
    root = find_root(world.cwd, world.cwd)
    return decide_stored(resolve_run(ref, root=root, cwd=world.cwd), against, choice, world)


def decide_stored(
    run: Run, against: BaselineChoice, choice: GateChoice | None, world: World
) -> Report:
    """Decide a run that is stored, by the gate its set has today, or has at the base."""
    root = find_root(world.cwd, world.cwd)
    path = root / run.header.evalset_path
    place = Place(root=root, cwd=world.cwd)
    if run.header.against and against.ref is None:
        against = replace(against, ref=rival_id(run.header.id))
    with open_basis(path, choice, world) as basis:
        own = baseline_path(path, run.header.evalset)
        baseline = find_baseline(against, own, basis, run=run, world=world)
        return decide_held(run, baseline, basis, against, place)


def decide_held(
    run: Run, baseline: Run | None, basis: Basis | None, against: BaselineChoice, place: Place
) -> Report:
    """Decide a stored run against a baseline, held to a basis if there is one."""
    run = hold_run(run, basis)
    standard = read_standard(run, place.root, basis)
    verdict = judge(
        run,
        standard.rules,
        baseline,
        Tolerance.of(standard.settings),
        place,
        allow_missing=against.allow_missing,
    )
    if not run.header.shard:
        verdict = review_verdict(verdict, basis.review if basis else None)
    if basis is not None:
        baseline = basis.show(baseline)
    return report_on(run, verdict, baseline, place)


def hold_run(run: Run, basis: Basis | None) -> Run:
    """A run that knows which of its cases the gate does not."""
    if basis is None or basis.source is None:
        return run
    known = {case.id for case in basis.source.evalset.cases}
    added = tuple(case.id for case in run.header.cases if case.id not in known)
    return replace(run, header=replace(run.header, base_commit=basis.review.commit, added=added))


def read_standard(run: Run, root: Path, basis: Basis | None) -> Standard:
    """The base's thresholds, or today's, or those stored with the run when its set is not at hand."""
    if basis is not None and basis.source is not None:
        return _standard_of(run, basis.source.evalset)
    path = root / run.header.evalset_path
    if not path.is_file():
        return Standard(rules=run.header.gate, settings=dict(run.header.settings))
    evalset, problems = load_evalset(path, root=root)
    if problems:
        raise InvalidInput(problems)
    return _standard_of(run, evalset)


def _standard_of(run: Run, evalset: EvalSet) -> Standard:
    return Standard(
        rules=evalset.gate or DEFAULT_GATE,
        settings={**run.header.settings, **evalset.settings},
    )
