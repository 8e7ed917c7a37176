"""Format labels as a YAML or CSV file; equal labels give equal bytes."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence

from evalkit.core.labels import HumanLabel
from evalkit.core.rubric import Criterion, Level
from evalkit.core.safe_text import escape_csv_formula
from evalkit.evalset.labels import HELP_COLUMNS, LABEL_KEYS, RUN_SEPARATOR
from evalkit.evalset.yaml_scalars import format_scalar, quote_scalar, replace_lone_surrogates

_HEADER = "# People's labels of answers. `evalkit calibrate` compares judges with them.\nlabels:\n"
_TO_FILL_IN = ("level", "note")
_REQUIRED_KEYS = ("answer", "criterion", "level")


def format_labels_yaml(labels: Iterable[HumanLabel]) -> str:
    """Format a YAML file with one block per label, sorted by content."""
    blocks = ("\n".join(_format_label(label)) for label in _sort_labels(labels))
    return _HEADER + "\n".join(f"{block}\n" for block in blocks)


def format_labels_csv(labels: Iterable[HumanLabel]) -> str:
    """Format a CSV file without cells that a spreadsheet takes for formulas."""
    return _format_csv(tuple(LABEL_KEYS), (_to_cells(label) for label in _sort_labels(labels)))


def format_worksheet(labels: Iterable[HumanLabel], criteria: Mapping[str, Criterion]) -> str:
    """Format a CSV file with an empty level per label, and with each question and its levels.

    The labels keep their order. `criteria` has the criterion of each label by name.
    """
    columns = tuple(key for key in LABEL_KEYS if key not in _TO_FILL_IN)
    rows = []
    for label in labels:
        cells, criterion = _to_cells(label), criteria[label.criterion]
        levels = "; ".join(_describe_level(level) for level in criterion.levels)
        rows.append({**cells, "question": criterion.question, "levels": levels})
    return _format_csv((*columns, *HELP_COLUMNS, *_TO_FILL_IN), rows)


def _describe_level(level: Level) -> str:
    return f"{level.name} ({level.description})" if level.description else level.name


def _to_cells(label: HumanLabel) -> dict[str, str]:
    texts = {key: getattr(label, key) for key in LABEL_KEYS}
    return {**texts, "drawn": RUN_SEPARATOR.join(label.drawn)}


def _format_csv(columns: Sequence[str], rows: Iterable[Mapping[str, str]]) -> str:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(columns)
    writer.writerows(
        [escape_csv_formula(replace_lone_surrogates(row[column])) for column in columns]
        for row in rows
    )
    return text.getvalue()


def _sort_labels(labels: Iterable[HumanLabel]) -> list[HumanLabel]:
    return sorted(labels, key=lambda label: label.sort_key)


def _format_label(label: HumanLabel) -> Iterator[str]:
    mark = "- "
    for key in LABEL_KEYS:
        if key == "drawn":
            continue
        text = replace_lone_surrogates(getattr(label, key))
        if text or key in _REQUIRED_KEYS:
            yield f"{mark}{key}: {format_scalar(text, indent=4)}"
            mark = "  "
    if label.drawn:
        runs = ", ".join(quote_scalar(replace_lone_surrogates(run)) for run in label.drawn)
        yield f"{mark}drawn: [{runs}]"
