"""Read a rubric file into a Rubric, and report everything that is wrong with it."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import get_args

import msgspec

from evalkit.core.location import Location, Problem
from evalkit.core.rubric import CalibrationRequirement, Control, Rubric, RubricInput
from evalkit.core.serialization import digest
from evalkit.core.source_files import UnreadableFile, display_path, read_file
from evalkit.evalset.criteria import read_criteria
from evalkit.evalset.fields import FieldReader, read_mapping
from evalkit.evalset.nodes import MappingNode, Node, is_null, quote_short, suggest_similar
from evalkit.evalset.rubric_keys import (
    CALIBRATION_KEYS,
    CONTROL_KEYS,
    CONTROLS_KEYS,
    MAX_CONTROLS,
    RUBRIC_KEYS,
)
from evalkit.evalset.yaml import parse_yaml

NEEDS: tuple[RubricInput, ...] = get_args(RubricInput)

MAX_RUBRIC_BYTES = 2**20
"""Size of one file. A judge reads all of it with every answer."""

RUBRIC_ONLY_KEYS = frozenset({"rubric", "criteria", "controls", "pass_at", "needs"})
"""Keys by which a rubric is recognized. An eval set has none of them."""

_SET_ONLY_KEYS = frozenset({"evalset", "cases"})
"""Keys that no rubric has. With one of them, a file is a set, in which a key of a rubric is a mistake."""


def is_rubric(node: Node | None) -> bool:
    """Return whether a file is meant as a rubric, judging by its keys."""
    keys = set(node.members) if isinstance(node, MappingNode) else set()
    return bool(RUBRIC_ONLY_KEYS & keys) and not _SET_ONLY_KEYS & keys


def load_rubric(path: Path) -> tuple[Rubric | None, list[Problem]]:
    """Read a rubric file and find everything wrong with it; None if there is any problem."""
    rubric, problems = read_partial_rubric(path)
    return (None if problems else rubric), problems


def read_partial_rubric(path: Path) -> tuple[Rubric | None, list[Problem]]:
    """Read a rubric file as far as possible and find everything wrong with it."""
    problems: list[Problem] = []
    where = Location(path=display_path(path))
    try:
        node = parse_yaml(read_file(path, MAX_RUBRIC_BYTES), where.path, problems)
    except UnreadableFile as error:
        return None, [Problem(message=f"the file {error}", where=where)]
    if node is None or is_null(node):
        if not problems:
            problems.append(Problem(message="the rubric is empty. Add `criteria:`.", where=where))
        return None, problems
    fields = read_mapping(node, "rubric", RUBRIC_KEYS, problems)
    return (_read_rubric(fields, path) if fields else None), problems


def _read_rubric(fields: FieldReader, path: Path) -> Rubric:
    known_problems = len(fields.problems)
    criteria = read_criteria(fields)
    are_sound = len(fields.problems) == known_problems
    given = fields.read_all("needs")
    rubric = Rubric(
        name=given.pop("rubric", path.stem),
        path=display_path(path),
        criteria=criteria,
        needs=_read_needs(fields),
        controls=_read_controls(fields),
        require_calibration=_read_calibration(fields),
        **given,
    )
    # With unsound criteria, the range of scores is unknown.
    if "pass_at" in given and are_sound:
        problem = _find_useless_pass_mark(rubric.pass_at, rubric)
        if problem:
            fields.report_problem(problem, fields.get("pass_at"))
    elif fields.is_empty("pass_at"):
        fields.report_problem(
            "pass_at is missing, so nothing says which scores pass. Add `pass_at: 0.7`."
        )
    if rubric.criteria and not rubric.judged_criteria and rubric.controls:
        fields.report_problem(
            "controls check a judge, but every criterion is a check. Remove them.",
            fields.get("controls"),
        )
    _check_references(fields, rubric)
    return replace(rubric, digest=digest_rubric(rubric))


def digest_rubric(rubric: Rubric) -> str:
    """Return a digest of what a judge is asked and how its answers count."""
    criteria = [msgspec.to_builtins(criterion) for criterion in rubric.criteria]
    for criterion in criteria:
        # A check that moves to another line is still the same check.
        criterion["check"] = criterion["check"] and {**criterion["check"], "line": 0}
    return digest(
        [criteria, rubric.needs, rubric.pass_at, rubric.higher_is_better, rubric.description]
    )


def _find_useless_pass_mark(mark: float, rubric: Rubric) -> str:
    """Return why every answer or no answer reaches a pass mark; empty if it depends on the answer."""
    lowest, highest = rubric.score_range
    slack = 1e-9  # as in Rubric.is_passed
    if rubric.higher_is_better:
        found = f"pass_at is {mark:g}, and"
        too_strict, too_lax = mark > highest + slack, mark <= lowest + slack
        reachable = f"the best levels give {highest:g}"
        certain = f"the worst levels give {lowest:g}"
    else:
        found = f"pass_at is {mark:g}, less is better, and"
        too_strict, too_lax = mark < lowest - slack, mark >= highest - slack
        reachable = f"the lowest levels give {lowest:g}"
        certain = f"no score is above {highest:g}"
    if too_strict:
        return f"{found} {reachable}: nothing could pass."
    return f"{found} {certain}: everything would pass." if too_lax else ""


def _check_references(fields: FieldReader, rubric: Rubric) -> None:
    """Report controls that lack what the rubric needs, and texts that no judge would be shown."""
    place = fields.get("controls")
    for control, need in product(rubric.controls, NEEDS):
        owner = f"control {quote_short(control.name)}"
        given = getattr(control, need)
        if need in rubric.needs and not given.strip():
            fields.report_problem(f"{owner} has no {need}, which the rubric needs.", place)
        elif need not in rubric.needs and given:
            fields.report_problem(
                f"{owner} has a {need}, which no judge is shown. Add `needs: [{need}]`, or remove it.",
                place,
            )
    for criterion, need in product(rubric.criteria, NEEDS):
        if need not in rubric.needs and any(getattr(each, need) for each in criterion.examples):
            fields.report_problem(
                f"criterion {quote_short(criterion.name)}: an example has a {need}, which no judge is "
                f"shown for an answer. Add `needs: [{need}]`, or remove it.",
                fields.get("criteria"),
            )


def _read_needs(fields: FieldReader) -> tuple[RubricInput, ...]:
    labels = fields.labels("needs") or ()
    for label in labels:
        if label not in NEEDS:
            near = suggest_similar(label, NEEDS)
            fields.report_problem(
                f"needs lists what a case must provide, {' or '.join(NEEDS)}, and "
                f"{quote_short(label)} is neither{near or '.'}",
                fields.get("needs"),
            )
    return tuple(need for label in labels for need in NEEDS if need == label)


def _read_calibration(fields: FieldReader) -> CalibrationRequirement | None:
    node = fields.get("require_calibration")
    required = node and read_mapping(node, "require_calibration", CALIBRATION_KEYS, fields.problems)
    if not required:
        return None
    if not CALIBRATION_KEYS.keys() & required.node.members:
        required.report_problem("it requires nothing. Write {kappa: 0.6, labels: 60}.")
    return CalibrationRequirement(**required.read_all())


def _read_controls(fields: FieldReader) -> tuple[Control, ...]:
    node = fields.get("controls")
    kinds = node and read_mapping(node, "controls", CONTROLS_KEYS, fields.problems)
    if not kinds:
        return ()
    found: dict[str, Control] = {}
    known: dict[tuple[str, ...], bool] = {}
    entries = [
        (kind, number, item)
        for kind in CONTROLS_KEYS
        for number, item in enumerate(_read_control_items(kinds, kind), start=1)
    ]
    for kind, number, item in entries:
        control = _read_control(item, kind, number, fields)
        if control is None:
            continue
        if found.setdefault(control.name.casefold(), control) is not control:
            kinds.report_problem(
                f"a second control is called {quote_short(control.name)}. Give it another name.",
                item,
            )
        content = (control.answer, control.input, control.reference, control.context)
        if known.setdefault(content, control.passes) != control.passes:
            kinds.report_problem(
                f"control {quote_short(control.name)}: the same answer is good and bad.", item
            )
    return tuple(found.values())


def _read_control_items(kinds: FieldReader, kind: str) -> tuple[Node, ...]:
    items = kinds.items(kind)
    if items == () or kinds.is_empty(kind):
        kinds.report_problem(
            f"{kind} has no answer. A judge is checked by at least one good and one bad answer."
        )
    items = items or ()
    if len(items) > MAX_CONTROLS:
        kinds.report_problem(
            f"{kind} has {len(items)} answers; at most {MAX_CONTROLS} are judged in every run.",
            items[MAX_CONTROLS].where,
        )
    return items[:MAX_CONTROLS]


def _read_control(item: Node, kind: str, number: int, fields: FieldReader) -> Control | None:
    control = read_mapping(item, f"control ({kind})", CONTROL_KEYS, fields.problems)
    answer = None if control is None else control.required_text("answer")
    if control is None or answer is None:
        return None
    given = {"name": f"{kind}-{number}", **control.read_all("answer")}
    return Control(passes=kind == "good", answer=answer, **given)
