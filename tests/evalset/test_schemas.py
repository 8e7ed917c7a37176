"""The JSON Schemas accept and reject what the loader does, as far as a schema can tell."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import jsonschema
import pytest

import evalkit
from evalkit.core.eval_set import AgentSpec, Case, Rule, Turn
from evalkit.core.judgement import JudgeSpec
from evalkit.core.labels import HumanLabel
from evalkit.core.rubric import (
    CalibrationRequirement,
    Control,
    Criterion,
    Example,
    Level,
    Rubric,
)
from evalkit.core.settings import Settings
from evalkit.evalset import keys, rubric_keys
from evalkit.evalset.json_schema import SCHEMA_NAMES, build_schema
from evalkit.evalset.labels import LABEL_KEYS
from evalkit.evalset.nodes import to_plain_value
from evalkit.evalset.value_types import Keys
from evalkit.evalset.yaml import parse_yaml
from evalkit.metrics.pairwise import PAIRWISE, PairwiseArguments
from evalkit.metrics.registry import METRICS, load_metric
from evalkit.metrics.rubric import RUBRIC, RubricArguments
from tests.support.paths import ROOT, TESTS

EXAMPLES = TESTS / "examples"
BEYOND_SCHEMAS = re.compile(
    r"csv-|file-|id-|jsonl-|yaml-|key-duplicate|key-not-text|metric-names-twice|.*-beyond-"
)
"""Examples whose problem lies in the syntax, in other files, or between values."""

SCHEMAS = Path(evalkit.__file__).parent / "schemas"
RUBRICS = ROOT / "rubrics"


def schema_path(name: str) -> Path:
    return SCHEMAS / f"{name}.schema.json"


def validator(name: str) -> jsonschema.Draft202012Validator:
    """A validator without a registry, so that each schema has to stand on its own."""
    return jsonschema.Draft202012Validator(json.loads(schema_path(name).read_text("utf-8")))


def plain(path: Path) -> Any:
    """What a YAML file says, for a schema."""
    node = parse_yaml(path.read_bytes(), str(path), [])
    return (node and to_plain_value(node)) or {}


def examples(folder: str) -> list[Path]:
    return [path.relative_to(EXAMPLES) for path in sorted((EXAMPLES / folder).glob("*.yaml"))]


@pytest.mark.parametrize("path", examples("valid"), ids=str)
def test_an_editor_is_content_with_what_the_loader_takes(path: Path) -> None:
    validator("evalset").validate(plain(EXAMPLES / path))


@pytest.mark.parametrize(
    "path", [path for path in examples("invalid") if not BEYOND_SCHEMAS.match(path.stem)], ids=str
)
def test_an_editor_marks_what_the_loader_refuses(path: Path) -> None:
    assert not validator("evalset").is_valid(plain(EXAMPLES / path))


@pytest.mark.parametrize(
    "path", [*examples("rubrics/valid"), *sorted(RUBRICS.glob("*.yaml"))], ids=str
)
def test_an_editor_is_content_with_rubrics_that_load(path: Path) -> None:
    validator("rubric").validate(plain(EXAMPLES / path))


@pytest.mark.parametrize(
    "path",
    [path for path in examples("rubrics/invalid") if not BEYOND_SCHEMAS.match(path.stem)],
    ids=str,
)
def test_an_editor_marks_rubrics_that_do_not_load(path: Path) -> None:
    assert not validator("rubric").is_valid(plain(EXAMPLES / path))


def test_the_first_line_of_every_shipped_rubric_names_the_schema() -> None:
    for path in RUBRICS.glob("*.yaml"):
        first = path.read_text("utf-8").splitlines()[0]
        assert (path.parent / first.partition("$schema=")[2]).samefile(
            SCHEMAS / "rubric.schema.json"
        )


def test_case_files_and_project_files_have_schemas_too() -> None:
    validator("cases").validate(plain(EXAMPLES / "valid" / "files" / "mapping.yml"))
    node = parse_yaml((EXAMPLES / "valid" / "files" / "list.yaml").read_bytes(), "", [])
    assert node
    validator("cases").validate(to_plain_value(node))
    validator("project").validate(plain(EXAMPLES / "valid" / "project" / "evalkit.yaml"))
    assert not validator("cases").is_valid([{"id": "a", "inptu": "x"}])
    assert not validator("project").is_valid({"cases": []})


@pytest.mark.parametrize("name", SCHEMA_NAMES)
def test_the_shipped_schemas_are_those_that_the_tables_give(name: str) -> None:
    metrics: dict[str, type[Any]] = {metric: load_metric(metric) for metric in METRICS}
    schema = build_schema(name, {**metrics, RUBRIC: RubricArguments, PAIRWISE: PairwiseArguments})
    text = json.dumps(schema, indent=2, ensure_ascii=False) + "\n"
    if os.environ.get("EVALKIT_UPDATE_SCHEMAS"):
        schema_path(name).write_text(text, "utf-8")
    assert schema_path(name).read_text("utf-8") == text, "set EVALKIT_UPDATE_SCHEMAS=1 to update"


@pytest.mark.parametrize("name", SCHEMA_NAMES)
def test_a_schema_is_valid_has_an_id_and_refers_to_nothing_outside(name: str) -> None:
    schema = json.loads(schema_path(name).read_text("utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["$id"] == f"urn:evalkit:schema:{name}"
    references = set(re.findall(r'"\$ref": "([^"]+)"', json.dumps(schema)))
    assert references <= {f"#/$defs/{key}" for key in schema["$defs"]}


@pytest.mark.parametrize(
    ("table", "record", "other"),
    [
        (keys.SETTING_KEYS, Settings, ""),
        (keys.AGENT_KEYS, AgentSpec, f"{' '.join(keys.AGENT_KINDS)} kind args where"),
        (keys.JUDGE_KEYS, JudgeSpec, f"{' '.join(keys.JUDGE_KINDS)} kind args jury path line"),
        (keys.RULE_KEYS, Rule, "mix where"),
        (keys.CASE_KEYS, Case, "criteria digest where"),
        (keys.TURN_KEYS, Turn, ""),
        (rubric_keys.RUBRIC_KEYS, Rubric, "rubric name path digest is_pairwise"),
        (rubric_keys.CALIBRATION_KEYS, CalibrationRequirement, ""),
        (rubric_keys.CONTROL_KEYS, Control, "passes"),
        (rubric_keys.CRITERION_KEYS, Criterion, ""),
        (rubric_keys.LEVEL_KEYS, Level, ""),
        (rubric_keys.EXAMPLE_KEYS, Example, ""),
        (LABEL_KEYS, HumanLabel, ""),
    ],
)
def test_every_key_fills_a_field_of_its_record(table: Keys, record: Any, other: str) -> None:
    assert set(table) ^ {field.name for field in fields(record)} == set(other.split())


def described(schema: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Every property in a schema with its description."""
    if isinstance(schema, list):
        for item in schema:
            yield from described(item, path)
    elif isinstance(schema, dict):
        for key, value in schema.items():
            if key == "properties" and "additionalProperties" in schema:
                for name, inner in value.items():
                    yield f"{path}.{name}", inner.get("description", inner.get("$ref", ""))
            yield from described(value, f"{path}.{key}")


@pytest.mark.parametrize("name", SCHEMA_NAMES)
def test_an_editor_can_explain_every_key(name: str) -> None:
    schema = json.loads(schema_path(name).read_text("utf-8"))
    assert not [path for path, words in described(schema) if not words]


@pytest.mark.parametrize(
    "entry",
    [
        "{contains: {al: [a]}}",
        "{contains: 0.5}",
        "{regex: {pattern: a, full: 'no'}}",
        "{rubric: {reference: answer}}",
        "{tests_passed: }",
        "{numeric: {pick: second}}",
    ],
)
def test_an_editor_marks_wrong_arguments_of_a_built_in_metric(entry: str) -> None:
    for text in (f"metrics: [{entry}]\n", f"cases: [{{id: a, input: x, metrics: [{entry}]}}]\n"):
        node = parse_yaml(text.encode(), "x", [])
        assert node
        assert not validator("evalset").is_valid(to_plain_value(node))
