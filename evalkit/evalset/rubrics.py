"""A rubric file turned into a Rubric, or into everything that is wrong with it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from itertools import product
from pathlib import Path

import msgspec

from evalkit.core.location import Location, Problem
from evalkit.core.rubric import CalibrationRequirement, Control, Rubric, RubricInput
from evalkit.core.serialization import digest
from evalkit.core.source_files import UnreadableFile, display_path, read_file
from evalkit.evalset.criteria import read_criteria
from evalkit.evalset.fields import FieldReader, read_mapping, suggest_similar
from evalkit.evalset.nodes import MappingNode, Node, is_null, quote_short
from evalkit.evalset.sections import drop_none
from evalkit.evalset.yaml import parse_yaml

RUBRIC_KEYS = (
    "rubric",
    "description",
    "needs",
    "higher_is_better",
    "pass_at",
    "criteria",
    "controls",
    "anchors",
    "require_calibration",
)
CONTROL_KEYS = ("name", "answer", "input", "reference", "context")
CONTROLS_KEYS = ("good", "bad")
CALIBRATION_KEYS = ("kappa", "labels")

NEEDS: tuple[RubricInput, ...] = ("reference", "context")
MAX_CONTROLS = 50
"""Of each side: every one is a call in every judged run."""

MAX_RUBRIC_BYTES = 2**20
"""Of one file; a judge reads all of it with every answer."""

RUBRIC_ONLY_KEYS = frozenset({"rubric", "criteria", "controls", "pass_at", "needs"})
"""Keys that an eval set does not have."""


def is_rubric(node: Node | None) -> bool:
    """Whether what stands in a file is meant as a rubric, going by its keys."""
    return isinstance(node, MappingNode) and bool(RUBRIC_ONLY_KEYS & set(node.members))


def load_rubric(path: Path) -> tuple[Rubric | None, list[Problem]]:
    """Read a rubric file, and everything that is wrong with it; None when anything is."""
    rubric, problems = read_partial_rubric(path)
    return (None if problems else rubric), problems


def read_partial_rubric(path: Path) -> tuple[Rubric | None, list[Problem]]:
    """Read a rubric file as far as it can be read, and everything that is wrong with it."""
    problems: list[Problem] = []
    where = Location(path=display_path(path))
    try:
        node = parse_yaml(read_file(path, MAX_RUBRIC_BYTES), where.path, problems)
    except UnreadableFile as trouble:
        return None, [Problem(message=f"the file {trouble}", where=where)]
    if node is None or is_null(node):
        if not problems:
            problems.append(Problem(message="the rubric is empty. Add `criteria:`.", where=where))
        return None, problems
    fields = read_mapping(node, "rubric", RUBRIC_KEYS, problems)
    return (_read_rubric(fields, path) if fields else None), problems


def _read_rubric(fields: FieldReader, path: Path) -> Rubric:
    known_problems = len(fields.problems)
    criteria = read_criteria(fields, "criteria")
    are_sound = len(fields.problems) == known_problems
    given = {
        "pass_at": fields.number("pass_at", at_least=0),
        "higher_is_better": fields.flag("higher_is_better"),
        "anchors": fields.text("anchors"),
        "require_calibration": _read_calibration(fields),
    }
    rubric = Rubric(
        name=fields.label("rubric") or path.stem,
        path=display_path(path),
        description=fields.text("description") or "",
        criteria=criteria,
        needs=_read_needs(fields),
        controls=_read_controls(fields),
        **drop_none(given),
    )
    if given["pass_at"] is not None:
        _check_pass_mark(fields, rubric.pass_at, rubric if are_sound else None)
    elif "pass_at" not in fields.node.members or is_null(fields.node.members["pass_at"].node):
        fields.report_problem(
            "pass_at is missing: nothing says from which score on an answer passes. "
            "Add `pass_at: 0.7`."
        )
    if rubric.criteria and not rubric.judged_criteria and rubric.controls:
        fields.report_problem(
            "controls check a judge, and every criterion is a check. Remove them.",
            fields.get("controls"),
        )
    _check_references(fields, rubric)
    return replace(rubric, digest=digest_rubric(rubric))


def digest_rubric(rubric: Rubric) -> str:
    """What tells one rubric from another: what is asked, and how the answers count."""
    criteria = [msgspec.to_builtins(criterion) for criterion in rubric.criteria]
    for criterion in criteria:
        # Moving a check to another line changes nothing.
        criterion["check"] = criterion["check"] and {**criterion["check"], "line": 0}
    return digest(
        [criteria, rubric.needs, rubric.pass_at, rubric.higher_is_better, rubric.description]
    )


def _check_pass_mark(fields: FieldReader, mark: float, rubric: Rubric | None) -> None:
    """A mark that every answer reaches, or none, decides nothing; None where criteria are unsound."""
    trouble = ""
    if mark > 1:
        percent = f"For {mark:g} percent write {mark / 100:g}" if mark <= 100 else "Write 0.7"
        trouble = f"pass_at is a share in 0..1, not {mark:g}. {percent}."
    elif rubric is not None:
        trouble = _find_useless_pass_mark(mark, rubric)
    if trouble:
        fields.report_problem(trouble, fields.get("pass_at"))


def _find_useless_pass_mark(mark: float, rubric: Rubric) -> str:
    lowest, highest = rubric.score_range
    slack = 1e-9
    if rubric.higher_is_better:
        if mark > highest + slack:
            return (
                f"pass_at is {mark:g}, and the best levels come to {highest:g}: nothing could pass."
            )
        if mark <= lowest + slack:
            return f"pass_at is {mark:g}, and the worst levels come to {lowest:g}: everything would pass."
        return ""
    less = f"pass_at is {mark:g}, less is better, and"
    if mark < lowest - slack:
        return f"{less} the lowest levels come to {lowest:g}: nothing could pass."
    if mark >= highest - slack:
        return f"{less} no score is above {highest:g}: everything would pass."
    return ""


def _check_references(fields: FieldReader, rubric: Rubric) -> None:
    """Controls come with what the rubric needs; nothing comes with what no judge is shown."""
    place = fields.get("controls")
    for control in rubric.controls:
        for need in NEEDS:
            if need in rubric.needs and not getattr(control, need).strip():
                fields.report_problem(
                    f"control {quote_short(control.name)} has no {need}, which the rubric needs.",
                    place,
                )
            elif need not in rubric.needs and getattr(control, need):
                fields.report_problem(
                    f"control {quote_short(control.name)} has a {need}, which no judge is shown. "
                    f"Add `needs: [{need}]`, or remove it.",
                    place,
                )
    for criterion, need in product(rubric.criteria, NEEDS):
        if need not in rubric.needs and any(getattr(each, need) for each in criterion.examples):
            fields.report_problem(
                f"criterion {quote_short(criterion.name)}: an example has a {need}, and of an answer no judge "
                f"is shown one. Add `needs: [{need}]`, or remove it.",
                fields.get("criteria"),
            )


def _read_needs(fields: FieldReader) -> tuple[RubricInput, ...]:
    found = []
    for label in fields.labels("needs") or ():
        need = next((need for need in NEEDS if need == label), None)
        if need is None:
            near = suggest_similar(label, NEEDS)
            fields.report_problem(
                f"needs lists what a case must give, {' or '.join(NEEDS)}, and {quote_short(label)} is "
                f"neither{near or '.'}",
                fields.get("needs"),
            )
        else:
            found.append(need)
    return tuple(found)


def _read_calibration(fields: FieldReader) -> CalibrationRequirement | None:
    node = fields.get("require_calibration")
    if node is None:
        return None
    wish = read_mapping(node, "require_calibration", CALIBRATION_KEYS, fields.problems)
    if wish is None:
        return None
    kappa = wish.number("kappa", at_least=0)
    if kappa is not None and kappa > 1:
        wish.report_problem(f"kappa is at most 1, not {kappa:g}.", wish.get("kappa"))
    labels = wish.integer("labels", at_least=1)
    if not set(CALIBRATION_KEYS) & set(wish.node.members):
        wish.report_problem("asks for nothing. Write {kappa: 0.6, labels: 60}.")
    return CalibrationRequirement(**drop_none({"kappa": kappa, "labels": labels}))


def _read_controls(fields: FieldReader) -> tuple[Control, ...]:
    node = fields.get("controls")
    if node is None:
        return ()
    sides = read_mapping(node, "controls", CONTROLS_KEYS, fields.problems)
    if sides is None:
        return ()
    entries = [
        (side, number, item)
        for side in CONTROLS_KEYS
        for number, item in enumerate(_control_items(sides, side), start=1)
    ]
    found: dict[str, Control] = {}
    known: dict[tuple[str, ...], bool] = {}
    for side, number, item in entries:
        control = _read_control(item, side, number, fields)
        if control is None:
            continue
        first = found.setdefault(control.name.casefold(), control)
        if first is not control:
            sides.report_problem(
                f"a second control is called {quote_short(control.name)}. Give it another name.",
                item,
            )
        told = (control.answer, control.input, control.reference, control.context)
        if known.setdefault(told, control.passes) != control.passes:
            sides.report_problem(
                f"control {quote_short(control.name)}: the same answer is good and bad.", item
            )
    return tuple(found.values())


def _control_items(sides: FieldReader, side: str) -> Iterable[Node]:
    member = sides.node.members.get(side)
    items = sides.items(side)
    if items == () or member is None or is_null(member.node):
        sides.report_problem(
            f"{side} has no answer. A judge is checked by at least one good and one bad answer."
        )
    items = items or ()
    if len(items) > MAX_CONTROLS:
        sides.report_problem(
            f"{side} has {len(items)} answers; at most {MAX_CONTROLS} are judged in every run.",
            items[MAX_CONTROLS].where,
        )
    return items[:MAX_CONTROLS]


def _read_control(item: Node, side: str, number: int, fields: FieldReader) -> Control | None:
    control = read_mapping(item, f"control ({side})", CONTROL_KEYS, fields.problems)
    answer = control.required_text("answer") if control is not None else None
    if control is None or answer is None:
        return None
    given = {key: control.text(key) for key in ("input", "reference", "context")}
    name = control.label("name") or f"{side}-{number}"
    return Control(name=name, passes=side == "good", answer=answer, **drop_none(given))
