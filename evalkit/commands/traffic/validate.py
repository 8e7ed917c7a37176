"""`evalkit traffic validate`: say which offline metrics predict what users saw."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from evalkit.compare.history import HistoryRow
from evalkit.core.context import Context
from evalkit.core.errors import InvalidInput, NothingSelected
from evalkit.evalset.project import Project
from evalkit.traffic.request_facts import create_facts
from evalkit.traffic.table import list_traffic, open_traffic, traffic_folder
from evalkit.traffic.validation import Validation, validate_gate
from evalkit.traffic.version_outcomes import (
    count_left_out,
    describe_left_out,
    find_outcome,
    read_outcomes,
    sum_outcomes,
)


def validate(
    runs: Sequence[HistoryRow], evalset: Path, names: Sequence[str], outcome: str, context: Context
) -> Validation:
    """Join the stored runs of a set with the outcomes of the versions that were deployed.

    Args:
        runs: the runs of the set, at least one.
        evalset: the set.
        names: the names of the traffic; all stored traffic if there are none.
        outcome: the name of a measure, such as satisfaction.
        context: where the command runs.

    Raises:
        InvalidInput: there is no such traffic or outcome.
        NothingSelected: the traffic has no version with that outcome.
    """
    measure = find_outcome(outcome)
    project = Project.open(context, evalset)
    stored = list(dict.fromkeys(names)) or list_traffic(project.root)
    if not stored:
        raise InvalidInput.single(
            "no traffic is stored. Import some: evalkit traffic import FILE --as NAME"
        )
    rows, left_out = [], []
    for name in stored:
        with open_traffic(traffic_folder(project.root, name)) as connection:
            create_facts(connection, redacted=())
            rows += read_outcomes(connection, measure)
            left_out.append(count_left_out(connection))
    if not rows:
        raise NothingSelected(
            f"no request of {', '.join(stored)} has both a version and a known {outcome}."
        )
    found = validate_gate(runs[0].evalset, measure, runs, sum_outcomes(rows))
    counts = (sum(column) for column in zip(*left_out, strict=True))
    return replace(found, notes=(*found.notes, *describe_left_out(*counts)))
