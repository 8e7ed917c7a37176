"""The file beside a rubric that holds what judges were found to be worth under it.

Whoever may write it may let a judge fail builds, so it is read like anything from outside: every figure
has to follow from the table of counts it claims to rest on.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from evalkit.core.calibration import Agreement, Calibration, Estimate, find_unmet_requirement
from evalkit.core.literals import Json
from evalkit.core.location import Location, Problem
from evalkit.core.rubric import Rubric
from evalkit.core.serialization import parse_stored_json, to_json_value
from evalkit.core.source_files import UnreadableFile, display_path, read_file

CALIBRATION_SCHEMA = "evalkit.calibration/v1"
MAX_CALIBRATION_BYTES = 4 << 20
STORED_DIGITS = 4
"""Of stored figures: more would change with the version of numpy."""

_ROW = re.compile(r"\[\s+\d+(?:,\s+\d+)*\s+\]")
_SLACK = 0.00006
"""Between a stored figure and the counted one: rounding, and no more."""


def find_calibration_path(rubric: Path) -> Path:
    """Where the calibrations of a rubric are: `helpfulness.calibration.json` beside `helpfulness.yaml`."""
    return rubric.with_name(f"{rubric.stem}.calibration.json")


def format_calibrations(calibrations: Iterable[Calibration]) -> str:
    """The file's text: one entry per judge, sorted, equal calibrations giving equal bytes."""
    by_judge = {each.judge_digest: each for each in calibrations}
    entries = sorted(by_judge.values(), key=lambda each: (each.judge, each.judge_digest))
    document = {"schema": CALIBRATION_SCHEMA, "calibrations": _round_floats(to_json_value(entries))}
    text = json.dumps(document, sort_keys=True, indent=2, allow_nan=False)
    # A row of counts is one line, so that the table can be read and a change of it reviewed.
    return _ROW.sub(lambda row: " ".join(row[0].split()), text) + "\n"


def _round_floats(value: Json) -> Json:
    if isinstance(value, float):
        return round(value, STORED_DIGITS)
    if isinstance(value, list):
        return [_round_floats(item) for item in value]
    if isinstance(value, dict):
        return {key: _round_floats(item) for key, item in value.items()}
    return value


def load_calibrations(path: Path) -> tuple[tuple[Calibration, ...], list[Problem]]:
    """What is stored at a path, and everything that is wrong with it; nothing where there is no file."""
    where = Location(path=display_path(path))
    if not path.exists():
        return (), []
    try:
        document = parse_stored_json(read_file(path, MAX_CALIBRATION_BYTES))
        if not isinstance(document, dict) or set(document) != {"schema", "calibrations"}:
            raise ValueError("it is no object of `schema` and `calibrations`")
        if document["schema"] != CALIBRATION_SCHEMA:
            raise ValueError(
                f"its schema is {document['schema']!r}; this evalkit reads {CALIBRATION_SCHEMA!r}"
            )
        found = msgspec.convert(document["calibrations"], tuple[Calibration, ...], strict=True)
        if not _is_equal_json(to_json_value(found), document["calibrations"]):
            raise ValueError("it says more than a calibration does")
        _check_entries(found)
    except (UnreadableFile, ValueError, KeyError, TypeError) as error:
        message = (
            f"the calibration file cannot be believed: {str(error).rstrip('.')}. Restore it, or remove "
            "it and calibrate again: evalkit calibrate RUBRIC LABELS"
        )
        return (), [Problem(message=message, where=where)]
    return found, []


def _is_equal_json(ours: Json, theirs: Json) -> bool:
    """Whether nothing was left over; numbers may be written as 1 or 1.0."""
    if isinstance(theirs, dict):
        return (
            isinstance(ours, dict)
            and set(ours) == set(theirs)
            and all(_is_equal_json(ours[key], theirs[key]) for key in theirs)
        )
    if isinstance(theirs, list):
        return len(ours) == len(theirs) and all(map(_is_equal_json, ours, theirs))
    same: bool = ours == theirs
    return same


def _check_entries(found: Sequence[Calibration]) -> None:
    digests = [each.judge_digest for each in found]
    if len(set(digests)) < len(digests):
        raise ValueError("it holds two calibrations of one judge")
    for entry in found:
        for criterion in entry.criteria:
            compared = [criterion.agreement, *(each.agreement for each in criterion.people)]
            for agreement in filter(None, compared):
                _check_agreement(agreement, f"{entry.judge}, {criterion.criterion}")


def _check_agreement(agreement: Agreement, what: str) -> None:
    size = len(agreement.levels)
    rows = agreement.confusion
    if size < 2 or len(rows) != size or any(len(row) != size for row in rows):
        raise ValueError(f"{what}: its table is not one of {size} by {size} levels")
    if any(count < 0 for row in rows for count in row) or not agreement.answers:
        raise ValueError(f"{what}: its table holds no counts")
    figures = zip(
        ("accuracy", "ac1", "kappa"),
        (agreement.accuracy, agreement.ac1, agreement.kappa),
        _compute_agreement(rows),
        strict=True,
    )
    for name, stored, counted in figures:
        if not _is_estimate_of(stored, counted):
            raise ValueError(f"{what}: its {name} does not follow from its table")


def _compute_agreement(rows: Sequence[Sequence[int]]) -> tuple[float, float, float | None]:
    """Accuracy, Gwet's AC1 and Cohen's kappa of one table; kappa is None where only one level was used.

    In plain Python, because every set with a rubric comes by here; `statistics.agreement` has them for
    thousands of tables at once.
    """
    total = sum(map(sum, rows))
    first = [sum(row) / total for row in rows]
    second = [sum(column) / total for column in zip(*rows, strict=True)]
    seen = sum(row[index] for index, row in enumerate(rows)) / total
    by_chance = sum(a * b for a, b in zip(first, second, strict=True))
    used = [(a + b) / 2 for a, b in zip(first, second, strict=True)]
    by_gwet = sum(share * (1 - share) for share in used) / (len(rows) - 1)
    kappa = (seen - by_chance) / (1 - by_chance) if by_chance < 1 else None
    return seen, (seen - by_gwet) / (1 - by_gwet), kappa


def _is_estimate_of(stored: Estimate | None, counted: float | None) -> bool:
    if stored is None or counted is None:
        return stored is None and counted is None
    is_counted = abs(stored.value - counted) <= _SLACK
    return is_counted and stored.low - _SLACK <= stored.value <= stored.high + _SLACK


def explain_advisory(rubric: Rubric, judge_digest: str, calibrations: Sequence[Calibration]) -> str:
    """Why a rubric that requires a calibration may not fail a build by this judge; empty if it may."""
    wish = rubric.require_calibration
    if wish is None or not rubric.judged_criteria:
        return ""
    wanted = (
        f"the rubric requires a judge calibrated to kappa {wish.kappa:g} on {wish.labels} labels"
    )
    entry = next((each for each in calibrations if each.judge_digest == judge_digest), None)
    if entry is None:
        return f"{wanted}, and this judge has not been calibrated"
    if entry.rubric_digest != rubric.digest:
        return f"{wanted}, and it was calibrated before the rubric was edited"
    criteria = {criterion.name: criterion.levels for criterion in rubric.judged_criteria}
    levels = {
        found.criterion: found.agreement.levels
        for found in entry.criteria
        if found.agreement is not None
    }
    if levels.keys() != criteria.keys() or any(
        levels[name] != tuple(level.name for level in criteria[name]) for name in criteria
    ):
        return f"{wanted}, and its calibration leaves out a criterion or a level"
    unmet = find_unmet_requirement(entry, wish.kappa, wish.labels)
    return f"{wanted}, and {unmet}" if unmet else ""
