"""The schema of all printed documents is generated, and the shipped file is what is generated."""

from __future__ import annotations

import json
import os
from pathlib import Path

import jsonschema

import evalkit
from evalkit.report.json_schema import build_report_schema

SHIPPED = Path(evalkit.__file__).parent / "schemas" / "report.schema.json"


def test_the_shipped_schema_is_the_generated_one() -> None:
    """EVALKIT_UPDATE_GOLDEN=1 writes the file again after a key or a docstring changed."""
    generated = json.dumps(build_report_schema(), indent=2, ensure_ascii=False) + "\n"
    if os.environ.get("EVALKIT_UPDATE_GOLDEN") == "1":
        SHIPPED.write_text(generated)
    assert generated == SHIPPED.read_text()


def test_the_schema_is_valid_and_resolves_on_its_own() -> None:
    schema = build_report_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    text = json.dumps(schema)
    assert schema["$id"]
    for name in schema["$defs"]:
        assert f"#/$defs/{name}" in text, f"nothing refers to {name}"


def test_keys_are_described_by_the_docstrings_of_key_tables_and_records() -> None:
    defs = build_report_schema()["$defs"]
    exit_code = defs["ReportDocument"]["properties"]["exit_code"]["description"]
    assert exit_code.startswith("0 passed, 1 failed,")
    assert exit_code.endswith("if interrupted.")
    check = defs["CheckDocument"]
    assert check["description"].startswith("The decision on one threshold")
    assert check["properties"]["name"]["description"] == "The metric with its statistic and tag."
    assert "runs" in defs["DetectableDrop"]["required"]
    assert defs["PowerAnalysis"]["properties"]["schema"] == {"enum": ["evalkit.power/v1"]}
