"""Generate the JSON Schema of all documents that evalkit prints, from key tables and records.

`tests/report/test_json_schema.py` compares the result with `evalkit/schemas/report.schema.json`, and
writes that file if `EVALKIT_UPDATE_GOLDEN=1` is set.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from inspect import cleandoc
from typing import Any, get_type_hints

import msgspec

from evalkit.compare.history import HistoryRow
from evalkit.core.gate_result import Check
from evalkit.core.literals import Json
from evalkit.report import bisect, false_alarms, flaky, power, suspect_labels
from evalkit.report.baseline import RecordedDocument
from evalkit.report.baselines import RecordedBaselinesDocument
from evalkit.report.batch_document import BatchDocument
from evalkit.report.calibration import CalibrationResult
from evalkit.report.doctor import Diagnosis
from evalkit.report.documents import (
    RUN_PROPERTIES,
    CaseDocument,
    CheckDocument,
    PropertyTable,
    ReportDocument,
)
from evalkit.report.dry_run import JSON_PROPERTIES as DRY_RUN_PROPERTIES
from evalkit.report.dry_run import DryRun, DryRuns
from evalkit.report.history import HistoryDocument, HistoryRowDocument
from evalkit.report.matrix_document import DiffDocument, MatrixDocument
from evalkit.report.runs import ListedRuns
from evalkit.report.traces import TracesDocument
from evalkit.report.validate import ValidatedDocument

SCHEMA_ID = "urn:evalkit:schema:report"

_TABLES: tuple[type[Any], ...] = (
    ReportDocument,
    BatchDocument,
    DiffDocument,
    MatrixDocument,
    CaseDocument,
    RecordedDocument,
    RecordedBaselinesDocument,
    TracesDocument,
    ValidatedDocument,
    HistoryDocument,
)
"""The documents that have a key table of their own."""

_RECORDS: Mapping[str, type[Any]] = {
    "evalkit.preview/v1": DryRun,
    "evalkit.previews/v1": DryRuns,
    "evalkit.power/v1": power.PowerAnalysis,
    "evalkit.aa/v1": false_alarms.FalseAlarms,
    "evalkit.flaky/v1": flaky.Flakiness,
    "evalkit.suspects/v1": suspect_labels.SuspectLabels,
    "evalkit.calibrated/v1": CalibrationResult,
    "evalkit.bisect/v1": bisect.BisectResult,
    "evalkit.runs/v1": ListedRuns,
    "evalkit.doctor/v1": Diagnosis,
}
"""The documents that consist of a record and the name of its schema."""

_EXTENDED: Mapping[type[Any], type[Any]] = {CheckDocument: Check, HistoryRowDocument: HistoryRow}
"""The key tables that add keys to those of a record."""

_PROPERTIES: PropertyTable = {
    **RUN_PROPERTIES,
    **DRY_RUN_PROPERTIES,
    **power.JSON_PROPERTIES,
    **false_alarms.JSON_PROPERTIES,
    **flaky.JSON_PROPERTIES,
    **suspect_labels.JSON_PROPERTIES,
    **bisect.JSON_PROPERTIES,
}

_ATTRIBUTES = "\n\nAttributes:\n"
_ATTRIBUTE = re.compile(r"^    (\w+): (.*(?:\n        .*)*)", re.MULTILINE)


def build_report_schema() -> dict[str, Json]:
    """Return the schema of every document that `--format json` prints."""
    types = [*_TABLES, *_RECORDS.values(), *_EXTENDED.values(), *_PROPERTIES]
    _, components = msgspec.json.schema_components(types, ref_template="#/$defs/{name}")
    for kind, names in _PROPERTIES.items():
        for name in names:
            hint = get_type_hints(getattr(kind, name).fget)["return"]
            components[kind.__name__]["properties"][name] = msgspec.json.schema(hint)
    for table, record in _EXTENDED.items():
        component, base = components[table.__name__], components.pop(record.__name__)
        _, marker, attributes = component["description"].partition(_ATTRIBUTES)
        component["description"] = base["description"] + marker + attributes
        component["properties"].update(base["properties"])
    for schema, record in _RECORDS.items():
        components[record.__name__]["properties"]["schema"] = {"enum": [schema]}
    documents = sorted(kind.__name__ for kind in (*_TABLES, *_RECORDS.values()))
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": SCHEMA_ID,
        "title": "Documents that evalkit prints with --format json",
        "description": "The key `schema` names the document and its version.",
        "type": "object",
        "required": ["schema"],
        "oneOf": [{"$ref": f"#/$defs/{name}"} for name in documents],
        "$defs": {name: _close(components[name]) for name in sorted(components)},
    }


def _close(component: dict[str, Json]) -> dict[str, Json]:
    """Return a component that requires every key, allows no other, and describes each key."""
    summary, _, attributes = component.pop("description", "").partition(_ATTRIBUTES)
    described = {name: _join_lines(text) for name, text in _ATTRIBUTE.findall(attributes)}
    properties = {
        name: {**_without_defaults(value), **_description(described.get(name, ""))}
        for name, value in sorted(component.pop("properties").items())
    }
    return {
        **_description(_join_lines(summary)),
        "type": "object",
        "additionalProperties": False,
        "required": list(properties),
        "properties": properties,
    }


def _description(text: str) -> dict[str, str]:
    return {"description": text} if text else {}


def _join_lines(text: str) -> str:
    return " ".join(cleandoc(text).split())


def _without_defaults(value: dict[str, Json]) -> dict[str, Json]:
    # A document has every key, so defaults are never used.
    return {key: item for key, item in value.items() if key != "default"}
