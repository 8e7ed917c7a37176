"""Format labels as a YAML or CSV file; equal labels give equal bytes."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from evalkit.core.labels import HumanLabel
from evalkit.core.rubric import Criterion, Level
from evalkit.core.safe_text import escape_character, escape_csv_formula
from evalkit.evalset.labels import HELP_COLUMNS, LABEL_KEYS, RUN_SEPARATOR

_HEADER = "# People's labels of answers. `evalkit calibrate` compares judges with them.\nlabels:\n"
_TO_FILL_IN = ("level", "note")
_REQUIRED_KEYS = ("answer", "criterion", "level")
# Much narrower than YAML's plain scalars: only texts that no YAML reader takes for anything else.
_PLAIN_SCALAR = re.compile(
    r"(?!(?:null|true|false)\Z)[A-Za-z](?:[A-Za-z0-9 ,.()/'_+-]*[A-Za-z0-9.)])?"
)
# Characters that YAML readers reject, or read differently, unless escaped in double quotes.
_UNPRINTABLE = re.compile(
    "[^\n\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]"
)
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


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
        [escape_csv_formula(_replace_lone_surrogates(row[column])) for column in columns]
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
        text = _replace_lone_surrogates(getattr(label, key))
        if text or key in _REQUIRED_KEYS:
            yield f"{mark}{key}: {_format_scalar(text)}"
            mark = "  "
    if label.drawn:
        runs = ", ".join(_quote_scalar(_replace_lone_surrogates(run)) for run in label.drawn)
        yield f"{mark}drawn: [{runs}]"


def _format_scalar(text: str) -> str:
    """Format a text in the most readable form that YAML reads back unchanged."""
    if _PLAIN_SCALAR.fullmatch(text):
        return text
    lines = text.removesuffix("\n").split("\n")
    if _is_block_scalar(lines):
        chomping = "" if text.endswith("\n") else "-"
        return "\n".join([f"|{chomping}", *(f"    {line}" if line else "" for line in lines)])
    return _quote_scalar(text)


def _quote_scalar(text: str) -> str:
    return _UNPRINTABLE.sub(escape_character, json.dumps(text, ensure_ascii=False))


def _is_block_scalar(lines: Sequence[str]) -> bool:
    """Return whether a block scalar preserves the lines: printable, and none of only spaces."""
    return (
        len(lines) > 1
        and lines[0][:1].strip() != ""
        and lines[-1] != ""
        and all(not line or line.strip() for line in lines)
        and not any(_UNPRINTABLE.search(line) for line in lines)
    )


def _replace_lone_surrogates(text: str) -> str:
    # UTF-8 cannot encode half a surrogate pair, which the JSON of an agent may contain.
    return _LONE_SURROGATE.sub("\ufffd", text)
