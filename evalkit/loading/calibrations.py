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

from evalkit.calibration import Agreement, Calibration, Estimate, find_unmet
from evalkit.packing import pack, unpack
from evalkit.records import Json, Location, Problem
from evalkit.rubric import Rubric
from evalkit.sources import Unreadable, read_file, shown_path

SCHEMA = "evalkit.calibration/v1"
MAX_BYTES = 4 << 20
DIGITS = 4
"""Of stored figures: more would change with the version of numpy."""

_ROW = re.compile(r"\[\s+\d+(?:,\s+\d+)*\s+\]")
_SLACK = 0.00006
"""Between a stored figure and the counted one: rounding, and no more."""


def calibration_path(rubric: Path) -> Path:
    """Where the calibrations of a rubric are: `helpfulness.calibration.json` beside `helpfulness.yaml`."""
    return rubric.with_name(f"{rubric.stem}.calibration.json")


def write_calibrations(calibrations: Iterable[Calibration]) -> str:
    """The file's text: one entry per judge, sorted, equal calibrations giving equal bytes."""
    by_judge = {each.judge_digest: each for each in calibrations}
    entries = sorted(by_judge.values(), key=lambda each: (each.judge, each.judge_digest))
    document = {"schema": SCHEMA, "calibrations": _rounded(pack(entries))}
    text = json.dumps(document, sort_keys=True, indent=2, allow_nan=False)
    # A row of counts is one line, so that the table can be read and a change of it reviewed.
    return _ROW.sub(lambda row: " ".join(row[0].split()), text) + "\n"


def _rounded(value: Json) -> Json:
    if isinstance(value, float):
        return round(value, DIGITS)
    if isinstance(value, list):
        return [_rounded(item) for item in value]
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    return value


def load_calibrations(path: Path) -> tuple[tuple[Calibration, ...], list[Problem]]:
    """What is stored at a path, and everything that is wrong with it; nothing where there is no file."""
    where = Location(path=shown_path(path))
    if not path.exists():
        return (), []
    try:
        document = unpack(read_file(path, MAX_BYTES))
        if not isinstance(document, dict) or set(document) != {"schema", "calibrations"}:
            raise ValueError("it is no object of `schema` and `calibrations`")
        if document["schema"] != SCHEMA:
            raise ValueError(f"its schema is {document['schema']!r}; this evalkit reads {SCHEMA!r}")
        found = msgspec.convert(document["calibrations"], tuple[Calibration, ...], strict=True)
        if not _is_same(pack(found), document["calibrations"]):
            raise ValueError("it says more than a calibration does")
        _check_entries(found)
    except (Unreadable, ValueError, KeyError, TypeError) as error:
        message = (
            f"the calibration file cannot be believed: {str(error).rstrip('.')}. Restore it, or remove "
            "it and calibrate again: evalkit calibrate RUBRIC LABELS"
        )
        return (), [Problem(message=message, where=where)]
    return found, []


def _is_same(ours: Json, theirs: Json) -> bool:
    """Whether nothing was left over; numbers may be written as 1 or 1.0."""
    if isinstance(theirs, dict):
        return (
            isinstance(ours, dict)
            and set(ours) == set(theirs)
            and all(_is_same(ours[key], theirs[key]) for key in theirs)
        )
    if isinstance(theirs, list):
        return len(ours) == len(theirs) and all(map(_is_same, ours, theirs))
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
                _check_figures(agreement, f"{entry.judge}, {criterion.criterion}")


def _check_figures(agreement: Agreement, what: str) -> None:
    size = len(agreement.levels)
    rows = agreement.confusion
    if size < 2 or len(rows) != size or any(len(row) != size for row in rows):
        raise ValueError(f"{what}: its table is not one of {size} by {size} levels")
    if any(count < 0 for row in rows for count in row) or not agreement.answers:
        raise ValueError(f"{what}: its table holds no counts")
    figures = zip(
        ("accuracy", "ac1", "kappa"),
        (agreement.accuracy, agreement.ac1, agreement.kappa),
        _count_figures(rows),
        strict=True,
    )
    for name, stored, counted in figures:
        if not _follows(stored, counted):
            raise ValueError(f"{what}: its {name} does not follow from its table")


def _count_figures(rows: Sequence[Sequence[int]]) -> tuple[float, float, float | None]:
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


def _follows(stored: Estimate | None, counted: float | None) -> bool:
    if stored is None or counted is None:
        return stored is None and counted is None
    is_counted = abs(stored.value - counted) <= _SLACK
    return is_counted and stored.low - _SLACK <= stored.value <= stored.high + _SLACK


def why_advisory(rubric: Rubric, judge_digest: str, calibrations: Sequence[Calibration]) -> str:
    """Why a rubric that requires a calibration may not fail a build by this judge; empty if it may."""
    wish = rubric.require_calibration
    if wish is None or not rubric.judged:
        return ""
    wanted = (
        f"the rubric requires a judge calibrated to kappa {wish.kappa:g} on {wish.labels} labels"
    )
    entry = next((each for each in calibrations if each.judge_digest == judge_digest), None)
    if entry is None:
        return f"{wanted}, and this judge has not been calibrated"
    if entry.rubric_digest != rubric.digest:
        return f"{wanted}, and it was calibrated before the rubric was edited"
    criteria = {criterion.name: criterion.levels for criterion in rubric.judged}
    levels = {
        found.criterion: found.agreement.levels
        for found in entry.criteria
        if found.agreement is not None
    }
    if levels.keys() != criteria.keys() or any(
        levels[name] != tuple(level.name for level in criteria[name]) for name in criteria
    ):
        return f"{wanted}, and its calibration leaves out a criterion or a level"
    unmet = find_unmet(entry, wish.kappa, wish.labels)
    return f"{wanted}, and {unmet}" if unmet else ""
