"""`evalkit gate`: decide again on a stored run, paying nothing."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from evalkit.ci.base import BaseGate, GateChoice, load_comparison_baseline, open_base_gate
from evalkit.commands.gate_result import GatePolicy, apply_gate_review, build_report, evaluate_gate
from evalkit.core.context import Context
from evalkit.core.errors import InvalidInput
from evalkit.core.eval_set import EvalSet, Rule
from evalkit.core.literals import Json
from evalkit.core.project import find_project_root
from evalkit.core.run import Run
from evalkit.evalset.base_version import baseline_run_id
from evalkit.evalset.loader import load_evalset
from evalkit.report.model import Report
from evalkit.report.next_steps import CommandHints
from evalkit.runner.plan import DEFAULT_GATE
from evalkit.store.baseline import baseline_path
from evalkit.store.refs import BaselineChoice, resolve_run


@dataclass(frozen=True, kw_only=True, slots=True)
class GateRules:
    """What a run is held to: thresholds and the settings that bear on the decision."""

    rules: tuple[Rule, ...]
    settings: dict[str, Json]


def gate(ref: str, against: BaselineChoice, choice: GateChoice | None, world: Context) -> Report:
    """Hold a stored run to the thresholds its eval set has today, or has at the base.

    Raises:
        InvalidInput: no such run or base, or the eval set is broken.
        StoreError: the run or its baseline cannot be read.
    """
    root = find_project_root(world.cwd, world.cwd)
    return evaluate_stored_run(resolve_run(ref, root=root, cwd=world.cwd), against, choice, world)


def evaluate_stored_run(
    run: Run, against: BaselineChoice, choice: GateChoice | None, world: Context
) -> Report:
    """Decide a run that is stored, by the gate its set has today, or has at the base."""
    root = find_project_root(world.cwd, world.cwd)
    path = root / run.header.evalset_path
    place = CommandHints(root=root, cwd=world.cwd)
    if run.header.against and against.ref is None:
        against = replace(against, ref=baseline_run_id(run.header.id))
    with open_base_gate(path, choice, world) as basis:
        own = baseline_path(path, run.header.evalset)
        baseline = load_comparison_baseline(against, own, basis, run=run, world=world)
        return evaluate_with_base(run, baseline, basis, against, place)


def evaluate_with_base(
    run: Run,
    baseline: Run | None,
    basis: BaseGate | None,
    against: BaselineChoice,
    place: CommandHints,
) -> Report:
    """Decide a stored run against a baseline, held to a basis if there is one."""
    run = apply_base_gate(run, basis)
    standard = read_gate_rules(run, place.root, basis)
    verdict = evaluate_gate(
        run,
        standard.rules,
        baseline,
        GatePolicy.from_settings(standard.settings),
        place,
        allow_missing=against.allow_missing,
    )
    if not run.header.shard:
        verdict = apply_gate_review(verdict, basis.review if basis else None)
    if basis is not None:
        baseline = basis.relocate_baseline(baseline)
    return build_report(run, verdict, baseline, place)


def apply_base_gate(run: Run, basis: BaseGate | None) -> Run:
    """A run that knows which of its cases the gate does not."""
    if basis is None or basis.base_version is None:
        return run
    known = {case.id for case in basis.base_version.evalset.cases}
    added = tuple(case.id for case in run.header.cases if case.id not in known)
    return replace(run, header=replace(run.header, base_commit=basis.review.commit, added=added))


def read_gate_rules(run: Run, root: Path, basis: BaseGate | None) -> GateRules:
    """The base's thresholds, or today's, or those stored with the run when its set is not at hand."""
    if basis is not None and basis.base_version is not None:
        return _build_gate_rules(run, basis.base_version.evalset)
    path = root / run.header.evalset_path
    if not path.is_file():
        return GateRules(rules=run.header.gate, settings=dict(run.header.settings))
    evalset, problems = load_evalset(path, root=root)
    if problems:
        raise InvalidInput(problems)
    return _build_gate_rules(run, evalset)


def _build_gate_rules(run: Run, evalset: EvalSet) -> GateRules:
    return GateRules(
        rules=evalset.gate or DEFAULT_GATE,
        settings={**run.header.settings, **evalset.settings},
    )
