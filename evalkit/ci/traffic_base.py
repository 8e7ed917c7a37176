"""Choose the thresholds for traffic: those of the base of a change, with the change's edits to them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from evalkit.ci.base import GateChoice, find_store_changes
from evalkit.ci.base_files import Checkout, checkout
from evalkit.ci.definition import choose_base, describe_definition
from evalkit.ci.rule_changes import find_rule_changes
from evalkit.ci.systems import find_build
from evalkit.core.context import Context
from evalkit.core.errors import ApprovalNeeded, InvalidInput
from evalkit.core.eval_set import TrafficSection
from evalkit.core.gate_result import GateChange, GateReview
from evalkit.core.gate_source import DefinitionSource
from evalkit.core.location import Problem
from evalkit.core.source_files import display_path
from evalkit.evalset.loader import PROJECT_FILE, find_project_file, load_project
from evalkit.evalset.project import Project


@dataclass(frozen=True, kw_only=True, slots=True)
class TrafficDefinition:
    """The thresholds that apply, and where they came from; see `BaseGate` for `review` and `definition`."""

    section: TrafficSection
    review: GateReview | None = None
    definition: DefinitionSource | None = None


def choose_traffic_section(
    choice: GateChoice, project: Project, context: Context
) -> TrafficDefinition:
    """Return the section `traffic:` that applies: the base's, unless there is none or its edits are accepted.

    Raises:
        InvalidInput: the section is missing or wrong, or a base is required and missing.
        ApprovalNeeded: the section at the base can no longer be read.
    """
    build = find_build(context.environ)
    place = context.cwd / PROJECT_FILE
    file = find_project_file(place, project.root) or project.root / PROJECT_FILE
    own = _read(file, project.root)
    ref = choose_base(choice.base, build, require=choice.require)
    with ExitStack() as stack:
        base = None
        if ref is not None:
            try:
                base = stack.enter_context(checkout(ref, file, context))
            except InvalidInput:
                # As for sets: the default branch is a guess, so the report says what is missing.
                if ref.name or choice.require:
                    raise
        if base is None:
            return TrafficDefinition(
                section=_require(own, file), definition=describe_definition(build)
            )
        definition = describe_definition(build, base.commit, require=choice.require)
        return _compare(own, file, base, choice, definition)


def _read(file: Path, root: Path) -> TrafficSection | None:
    problems: list[Problem] = []
    section = load_project(file, root, problems).traffic
    if problems:
        raise InvalidInput(problems)
    return section


def _require(section: TrafficSection | None, file: Path) -> TrafficSection:
    if section is None:
        raise InvalidInput.single(
            f"{display_path(file)} has no thresholds for traffic. Add for example:\n"
            f"traffic:\n  gate:\n    - {{metric: escalation_rate, max_rise: 0.02}}\n"
            f"    - {{metric: latency_s, stat: p95, max: 4}}"
        )
    return section


def _compare(
    own: TrafficSection | None,
    file: Path,
    base: Checkout,
    choice: GateChoice,
    definition: DefinitionSource | None,
) -> TrafficDefinition:
    try:
        before = _read(base.locate(file), base.tree)
    except InvalidInput as error:
        if not choice.accept:
            raise ApprovalNeeded(
                f"{display_path(file)} at {base.commit} can no longer be read. If this change is meant to "
                f"fix that, approve it with --accept-gate-changes. Problems there:\n"
                f"{str(error).replace(str(base.tree) + os.sep, '')}"
            ) from error
        before = None
    review = GateReview(
        base=str(base.commit),
        commit=base.commit.sha,
        accepted=choice.accept,
        changes=(*_find_changes(before, own), *find_store_changes(base)),
        notes=()
        if before is not None
        else (
            f"{display_path(file)} has no thresholds for traffic at {base.commit}, so its own decide.",
        ),
    )
    section = own if choice.accept or before is None else before
    return TrafficDefinition(section=_require(section, file), review=review, definition=definition)


def _find_changes(
    before: TrafficSection | None, now: TrafficSection | None
) -> Iterator[GateChange]:
    """Yield the edits of the section; they loosen the gate unless they can only tighten it."""
    if before is None:
        return
    if now is None:
        yield GateChange(kind="section", sentence="traffic: removed", loosened=True)
        return
    yield from find_rule_changes(before.gate, now.gate)
    if before.maturity_h != now.maturity_h:
        sentence = f"traffic: maturity_h: {before.maturity_h:g} -> {now.maturity_h:g}"
        yield GateChange(kind="setting", sentence=sentence, loosened=True, where=now.where)
    if before.on_inconclusive != now.on_inconclusive:
        sentence = f"traffic: on_inconclusive: {before.on_inconclusive} -> {now.on_inconclusive}"
        loosened = now.on_inconclusive == "pass"
        yield GateChange(kind="setting", sentence=sentence, loosened=loosened, where=now.where)
