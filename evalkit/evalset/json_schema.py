"""Generate the JSON Schemas of eval sets, case files, project files, and rubrics from the key tables.

The built-in metrics are a parameter, because this package must not import `evalkit.metrics`.
`tests/evalset/test_schemas.py` compares the shipped files with what this module builds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from evalkit.core.eval_set import AgentSpec, Rule, TrafficSection
from evalkit.core.judgement import JudgeSpec
from evalkit.core.literals import Json
from evalkit.core.rubric import CalibrationRequirement, Criterion, Rubric
from evalkit.core.settings import Settings
from evalkit.evalset import keys, rubric_keys
from evalkit.evalset.argument_schema import build_arguments_schema, iter_defaults
from evalkit.evalset.fields import drop_none
from evalkit.evalset.judges import DEFAULT_RULE
from evalkit.evalset.nodes import SHARED_PREFIX
from evalkit.evalset.value_types import (
    MAX_LABEL,
    RATE_PATTERN,
    AnyMapping,
    Choice,
    Flag,
    Integer,
    Keys,
    Label,
    Labels,
    Number,
    Rate,
    Section,
    SectionList,
    Share,
    ValueType,
)

SCHEMA_NAMES = ("evalset", "cases", "project", "rubric")

_TEXT = {"type": ["string", "number", "boolean"]}
_QUESTION = {**_TEXT, "pattern": r"\S"}
_LABEL = {
    **_TEXT,
    "minLength": 1,
    "maxLength": MAX_LABEL,
    "pattern": "^[^\\u0000-\\u001f\\u007f-\\u009f]*$",
}
_CASE_FILE = {
    "type": "string",
    "pattern": r"\.(?:[yY][aA]?[mM][lL]|[cCtT][sS][vV]|[jJ][sS][oO][nN][lL]?|"
    r"[pP][aA][rR][qQ][uU][eE][tT])$",
}
_SHARED = f"^{SHARED_PREFIX}"
_NOT_CRITERIA = {"not": {"const": keys.CRITERIA}}


def build_schema(name: str, metrics: Mapping[str, type[Any]]) -> dict[str, Json]:
    """Return the JSON Schema of one of SCHEMA_NAMES; it refers to no other file.

    `metrics` has the dataclass of each built-in metric by its name.
    """
    builder = _SchemaBuilder(metrics)
    files: dict[str, tuple[str, Callable[[], dict[str, Json]]]] = {
        "evalset": ("eval set", partial(builder.file, keys.SET_KEYS, Settings)),
        "cases": ("case file", builder.case_file),
        "project": ("project file", partial(builder.file, keys.PROJECT_KEYS, Settings)),
        "rubric": ("rubric", builder.rubric),
    }
    title, build = files[name]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:evalkit:schema:{name}",
        "$comment": "Generated from evalkit/evalset/keys.py. Do not edit.",
        "title": f"evalkit {title}",
        **build(),
        "$defs": dict(sorted(builder.definitions.items())),
    }


class _SchemaBuilder:
    """Builds schemas; the named ones that others refer to collect in `definitions`."""

    def __init__(self, metrics: Mapping[str, type[Any]]) -> None:
        self.metrics = metrics
        self.definitions: dict[str, Json] = {}
        self._sections: dict[str, Callable[[], Json]] = {
            "label": lambda: _LABEL,
            "arguments": lambda: {"type": ["string", "array", "object"]},
            "no_arguments": lambda: {"type": ["null", "object"], "maxProperties": 0},
            "anything": dict,
            "agent": self._agent,
            "judges": self._judges,
            "judge": self._judge,
            "prices": lambda: self.mapping(keys.PRICE_KEYS, None, *keys.NEEDED_PRICES),
            "metrics": lambda: _list_of(self.refer("metric"), 1),
            "own_metrics": lambda: _list_of(self.refer("metric")),
            "metric": self._metric,
            "rule": self._rule,
            "traffic": lambda: self.mapping(keys.TRAFFIC_KEYS, TrafficSection, "gate"),
            "traffic_rule": self._traffic_rule,
            "must_pass": lambda: {"anyOf": [{"const": "all"}, _list_of(self.refer("label"), 1)]},
            "cases": self._cases,
            "case": lambda: self.mapping(keys.CASE_KEYS, None, "id", "input"),
            "input": lambda: {"anyOf": [_TEXT, _list_of(self.refer("turn"), 1)]},
            "turn": self._turn,
            "criteria": self._criteria,
            "criterion": self._criterion,
            "question": lambda: _QUESTION,
            "level": lambda: self.mapping(rubric_keys.LEVEL_KEYS, None, "name", "value"),
            "example": lambda: self.mapping(rubric_keys.EXAMPLE_KEYS, None, "answer", "level"),
            "check": self._check,
            "controls": lambda: self.mapping(
                rubric_keys.CONTROLS_KEYS, None, *rubric_keys.CONTROLS_KEYS
            ),
            "control": lambda: self.mapping(rubric_keys.CONTROL_KEYS, None, "answer"),
            "calibration": lambda: {
                **self.mapping(rubric_keys.CALIBRATION_KEYS, CalibrationRequirement),
                "minProperties": 1,
            },
        }
        for name, metric in metrics.items():
            self._sections[f"metric_{name}"] = partial(build_arguments_schema, metric)

    def refer(self, name: str) -> dict[str, Json]:
        """Return a reference to a section, which is built when it is first needed."""
        if name not in self.definitions:
            # The name is taken first, so that a section that contains itself does not recurse forever.
            self.definitions[name] = {}
            self.definitions[name] = self._sections[name]()
        return {"$ref": f"#/$defs/{name}"}

    def mapping(self, table: Keys, record: type[Any] | None, *required: str) -> dict[str, Json]:
        """Return the schema of a mapping; `record` has the defaults of its keys."""
        defaults = {} if record is None else dict(iter_defaults(record))
        properties = {}
        for key, kind in table.items():
            properties[key] = {"description": kind.doc, **self._value(kind)}
            if key in defaults and key not in required:
                properties[key]["default"] = defaults[key]
        schema = {"type": "object", "additionalProperties": False, "properties": properties}
        return {**schema, "required": list(required)} if required else schema

    def file(self, table: Keys, record: type[Any] | None, *required: str) -> dict[str, Json]:
        """Return the schema of a whole file, which may have keys of its own for aliases."""
        return {**self.mapping(table, record, *required), "patternProperties": {_SHARED: {}}}

    def rubric(self) -> dict[str, Json]:
        """Return the schema of a rubric."""
        return self.file(rubric_keys.RUBRIC_KEYS, Rubric, "pass_at", keys.CRITERIA)

    def case_file(self) -> dict[str, Json]:
        """Return the schema of a case file: a list, or a mapping with the key `cases`."""
        return {
            "anyOf": [
                _list_of(self.refer("case")),
                self.file(keys.CASE_FILE_KEYS, None),
            ]
        }

    def _value(self, kind: ValueType) -> dict[str, Json]:
        match kind:
            case Label(pattern=pattern):
                label = self.refer("label")
                return {**label, "pattern": f"^(?:{pattern})$"} if pattern else label
            case Labels(words=words) if words:
                return _list_of({"enum": list(words)})
            case Labels(pattern=pattern) if pattern:
                return _list_of({"type": "string", "pattern": f"^(?:{pattern})$"})
            case Labels():
                return _list_of(self.refer("label"))
            case Section():
                return self.refer(kind.of)
            case SectionList():
                return _list_of(self.refer(kind.of), kind.at_least, kind.at_most)
        return _scalar_schema(kind)

    def _agent(self) -> Json:
        one_kind = [{"required": [kind]} for kind in keys.AGENT_KINDS]
        return {**self.mapping(keys.AGENT_KEYS, AgentSpec), "oneOf": one_kind}

    def _judges(self) -> Json:
        judge = self.refer("judge")
        jury = self.mapping(keys.JURY_KEYS, None, "jury")
        jury["properties"]["rule"]["default"] = DEFAULT_RULE
        return {"anyOf": [judge, _list_of(judge, 1, keys.MAX_JUDGES), jury]}

    def _judge(self) -> Json:
        alone = {"required": ["lexical"], "maxProperties": 1}
        one_kind = [
            alone if kind == "lexical" else {"required": [kind], "not": {"required": ["lexical"]}}
            for kind in keys.JUDGE_KINDS
        ]
        judge = {**self.mapping(keys.JUDGE_KEYS, JudgeSpec), "oneOf": one_kind}
        return {"anyOf": [{"const": "lexical"}, judge]}

    def _metric(self) -> Json:
        own = self.mapping(keys.METRIC_KEYS, None)["properties"]
        own["name"] |= _NOT_CRITERIA
        built_in = {name: self.refer(f"metric_{name}") for name in self.metrics}
        plugin = "A plugin: ./file.py:function, module:function, or the name of an installed one."
        return {
            "anyOf": [
                {"enum": list(self.metrics)},
                # Editors complete the names above; a plugin can have any other name.
                {"description": plugin, **self.refer("label"), **_NOT_CRITERIA},
                {
                    "type": "object",
                    "properties": {**own, **built_in},
                    "additionalProperties": {"description": plugin},
                    "minProperties": 1,
                    "maxProperties": 1 + len(keys.METRIC_KEYS),
                },
            ]
        }

    def _rule(self) -> Json:
        of_changes = {"anyOf": [{"required": [key]} for key in keys.COMPARISON_KEYS]}
        limits: list[Json] = []
        for limit in keys.METRIC_LIMITS:
            is_absolute = limit in ("min", "max")
            limits.append(
                {"required": [limit, "metric"], **({"not": of_changes} if is_absolute else {})}
            )
        limits += [{"required": [limit], "maxProperties": 1} for limit in keys.CASE_LIMITS]
        percentile_of_cases = {
            "required": ["estimand", "stat"],
            "properties": {
                "estimand": {"enum": ["users", "traffic"]},
                "stat": {"enum": ["p50", "p95", "p99"]},
            },
        }
        points_of_traffic = {
            "required": ["estimand", "test"],
            "properties": {"estimand": {"const": "traffic"}, "test": {"const": "point"}},
        }
        excluded = {"anyOf": [percentile_of_cases, points_of_traffic]}
        return {**self.mapping(keys.RULE_KEYS, Rule), "oneOf": limits, "not": excluded}

    def _traffic_rule(self) -> Json:
        of_changes = {"anyOf": [{"required": [key]} for key in ("margin", "and_at_least")]}
        limits: list[Json] = [
            {"required": [limit], **({"not": of_changes} if limit in ("min", "max") else {})}
            for limit in keys.METRIC_LIMITS
        ]
        rule = self.mapping(keys.TRAFFIC_RULE_KEYS, Rule, "metric")
        del rule["properties"]["margin"]["default"]  # it depends on the limit
        return {**rule, "oneOf": limits}

    def _cases(self) -> Json:
        return {"anyOf": [_CASE_FILE, _list_of({"anyOf": [_CASE_FILE, self.refer("case")]})]}

    def _turn(self) -> Json:
        return {"anyOf": [_TEXT, self.mapping(keys.TURN_KEYS, None, *keys.TURN_KEYS)]}

    def _criteria(self) -> Json:
        item = {"anyOf": [_QUESTION, self.refer("criterion")]}
        return _list_of(item, 1, rubric_keys.MAX_CRITERIA)

    def _criterion(self) -> Json:
        of_judge = {"anyOf": [{"required": [key]} for key in rubric_keys.JUDGE_ONLY_KEYS]}
        asked_or_checked = [
            {"required": ["question"], "not": {"required": ["check"]}},
            {"required": ["check"], "not": of_judge},
        ]
        return {**self.mapping(rubric_keys.CRITERION_KEYS, Criterion), "oneOf": asked_or_checked}

    def _check(self) -> Json:
        names = [name for name in self.metrics if name not in ("rubric", "pairwise")]
        one_metric = {
            "type": "object",
            "properties": {name: self.refer(f"metric_{name}") for name in names},
            "additionalProperties": False,
            "minProperties": 1,
            "maxProperties": 1,
        }
        return {"anyOf": [{"enum": names}, one_metric]}


def _list_of(item: Json, at_least: int = 0, at_most: int | None = None) -> dict[str, Json]:
    schema = {"type": "array", "items": item}
    if at_least:
        schema["minItems"] = at_least
    return schema if at_most is None else {**schema, "maxItems": at_most}


def _scalar_schema(kind: ValueType) -> dict[str, Json]:
    match kind:
        case Number():
            bounds = {
                "exclusiveMinimum": kind.above,
                "minimum": kind.at_least,
                "maximum": kind.at_most,
                "exclusiveMaximum": kind.below,
            }
            return {"type": "number", **drop_none(bounds)}
        case Rate():
            return {"type": "string", "pattern": f"^(?:{RATE_PATTERN})$"}
        case Share():
            return {"type": "number", "minimum": 0, "maximum": 1}
        case Integer():
            number = {"type": "integer", "minimum": kind.at_least, "maximum": kind.at_most}
            odd = {"not": {"multipleOf": 2}} if kind.odd else {}
            return {"anyOf": [{"const": kind.word}, number]} if kind.word else {**number, **odd}
        case Flag():
            return {"type": "boolean"}
        case Choice():
            return {"enum": list(kind.words)}
        case AnyMapping():
            return {"type": "object"}
    return dict(_TEXT)
