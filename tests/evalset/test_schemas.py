"""The JSON Schemas that editors use hold and refuse the same as the loader, as far as a schema can see."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import referencing
from evalkit.evalset.sections import AGENT_KEYS, METRIC_KEYS, RULE_KEYS

import evalkit
from evalkit.core.settings import SETTING_NAMES
from evalkit.evalset.cases import CASE_KEYS, TURN_KEYS
from evalkit.evalset.criteria import CRITERION_KEYS, EXAMPLE_KEYS, LEVEL_KEYS
from evalkit.evalset.judges import JUDGE_KEYS, PRICE_KEYS
from evalkit.evalset.loader import PROJECT_KEYS, SET_KEYS
from evalkit.evalset.nodes import to_plain_value
from evalkit.evalset.rubrics import (
    CALIBRATION_KEYS,
    CONTROL_KEYS,
    CONTROLS_KEYS,
    NEEDS,
    RUBRIC_KEYS,
)
from evalkit.evalset.yaml import parse_yaml
from tests.support.paths import ROOT, TESTS

EXAMPLES = TESTS / "examples"
BEYOND_SCHEMAS = re.compile(
    r"csv-|file-|id-|jsonl-|yaml-|key-duplicate|key-not-text|metric-names-twice|.*-beyond-"
)
"""Examples whose problem lies in the syntax, in other files, or between values."""

SCHEMAS = Path(evalkit.__file__).parent / "schemas"
RUBRICS = ROOT / "rubrics"


def read_schema(name: str) -> Any:
    return json.loads((SCHEMAS / f"{name}.schema.json").read_text())


def validator(name: str) -> jsonschema.Draft202012Validator:
    registry: referencing.Registry[Any] = referencing.Registry().with_resources(
        (path.name, referencing.Resource.from_contents(json.loads(path.read_text())))
        for path in SCHEMAS.glob("*.json")
    )
    return jsonschema.Draft202012Validator(read_schema(name), registry=registry)


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


def test_schemas_and_loader_know_the_same_keys() -> None:
    project, cases, evalset = read_schema("project"), read_schema("cases"), read_schema("evalset")
    rubric = read_schema("rubric")
    definitions = {**project["$defs"], **cases["$defs"], **rubric["$defs"]}
    turn = definitions["turn"]["anyOf"][1]
    metric = definitions["metric"]["anyOf"][1]
    judge = definitions["judge"]["anyOf"][1]
    for schema, keys in [
        (evalset, SET_KEYS),
        (project, PROJECT_KEYS),
        (definitions["agent"], AGENT_KEYS),
        (judge, JUDGE_KEYS),
        (judge["properties"]["prices"], PRICE_KEYS),
        (metric, METRIC_KEYS),
        (definitions["rule"], RULE_KEYS),
        (definitions["case"], CASE_KEYS),
        (turn, TURN_KEYS),
        (rubric, RUBRIC_KEYS),
        (rubric["properties"]["controls"], CONTROLS_KEYS),
        (rubric["properties"]["require_calibration"], CALIBRATION_KEYS),
        (definitions["criterion"], CRITERION_KEYS),
        (definitions["level"], LEVEL_KEYS),
        (definitions["example"], EXAMPLE_KEYS),
        (definitions["control"], CONTROL_KEYS),
    ]:
        assert sorted(schema["properties"]) == sorted(keys)
    assert rubric["properties"]["needs"]["items"]["enum"] == list(NEEDS)
    assert set(PROJECT_KEYS) - {"agent", "judge", "metrics", "gate"} == SETTING_NAMES
    for name in ("project", "cases", "evalset", "rubric"):
        jsonschema.Draft202012Validator.check_schema(read_schema(name))
