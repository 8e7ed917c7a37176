"""The keys of every mapping in eval sets, project files, and case files.

The loader reads values by these tables, and the JSON Schemas are generated from them. A new key is one
row here and one field of the record that it fills. `rubric_keys` has those of rubrics.
"""

from __future__ import annotations

from typing import get_args

from evalkit.core.judgement import JuryRule
from evalkit.core.literals import Role, Stat
from evalkit.evalset.value_types import (
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
    Text,
)

CRITERIA = "criteria"
"""The key under which a case lists requirements of its own, and the name of the metric they become."""

SET_NAME = r"[^./][^/]*"
"""A set's name is part of file names, as in `baselines/NAME.jsonl`."""

VARIABLE_NAME = r"[A-Za-z_][A-Za-z0-9_]*"

MAX_COUNT = 1_000_000
"""Trials, concurrent calls, or errors. A larger number is a typo."""

MAX_CONCURRENCY = 1000
MIN_ALPHA = 1e-6
MAX_ALPHA = 0.5
"""At 0.5, every second unchanged agent would fail."""

MAX_JUDGES = 5
MAX_JURORS = 9
"""Each juror is asked about every answer. More of them add cost, hardly accuracy."""

_OPENAI = "A chat model at any endpoint that speaks the OpenAI protocol."
_ANTHROPIC = "A model of Anthropic, through its Messages API."

SETTING_KEYS: Keys = {
    "trials": Integer(
        "Trials of each case. `auto` runs one, and up to five while the gate is undecided.",
        at_least=1,
        at_most=MAX_COUNT,
        word="auto",
    ),
    "concurrency": Integer("Trials that run at once.", at_least=1, at_most=MAX_CONCURRENCY),
    "max_errors": Integer(
        "Trials that may end without a score before the run is undecided.",
        at_least=0,
        at_most=MAX_COUNT,
    ),
    "on_inconclusive": Choice(
        "How an inconclusive threshold affects the exit code. It is always reported.",
        words=("pass", "fail"),
    ),
    "on_judge_drift": Choice(
        "Whether the run is undecided when the judge's model differs from the baseline's.",
        words=("warn", "fail"),
    ),
    "retry_deadline_s": Number(
        "Seconds for which the agent's endpoint may answer no call.", at_least=0
    ),
    "max_cost_usd": Number(
        "Limit on the cost of a run's agents and judges together. Default: none.", above=0
    ),
    "seed": Integer("The seed passed to agents and used for every random draw of evalkit."),
}
"""The fields of `Settings`."""

AGENT_KINDS = {
    "python": "A Python function: module:function or ./file.py:function.",
    "command": "A program and its arguments, as a list.",
    "http": "A URL, or a mapping with method, url, headers, body, and the path of the answer.",
    "openai": _OPENAI,
    "anthropic": _ANTHROPIC,
    "recorded": "A JSONL file of recorded outputs.",
}
"""Each kind of agent with its description. The kind is the module of that name in `evalkit.agents`."""

AGENT_KEYS: Keys = {
    **{kind: Section(doc, of="arguments") for kind, doc in AGENT_KINDS.items()},
    "version": Label("The version that scores are recorded under. Default: the git commit."),
    "timeout_s": Number("Seconds until a call is stopped.", above=0),
    "attempts": Integer(
        "Calls per trial when the infrastructure fails. Failures of the agent are not retried.",
        at_least=1,
        at_most=MAX_COUNT,
    ),
    "rate": Rate("Most calls per time, such as 60/min. Default: what the endpoint allows."),
    "tokens_per_min": Number(
        "Most tokens per minute, for kinds with an endpoint. Default: none.", above=0
    ),
    "env": Labels("Environment variables that the agent receives.", pattern=VARIABLE_NAME),
    "max_cost_usd": Number("Limit on the cost of the agent's calls. Default: none.", above=0),
    "prices": Section("Prices of the agent's tokens, if it reports no cost.", of="prices"),
}

JUDGE_KINDS = {
    "openai": _OPENAI,
    "anthropic": _ANTHROPIC,
    "lexical": "A judge that compares words and needs no model. It takes no arguments.",
}
"""Each kind of judge with its description. The kind is the module of that name in `evalkit.judge`."""

JUDGE_KEYS: Keys = {
    **{
        kind: Section(doc, of="no_arguments" if kind == "lexical" else "arguments")
        for kind, doc in JUDGE_KINDS.items()
    },
    "votes": Integer(
        "Times each answer is judged, an odd number. The median counts.",
        at_least=1,
        at_most=99,
        odd=True,
    ),
    "concurrency": Integer("Concurrent calls of the judge.", at_least=1, at_most=MAX_CONCURRENCY),
    "timeout_s": Number("Seconds until a call is stopped.", above=0),
    "attempts": Integer("Calls per vote when the connection fails.", at_least=1, at_most=MAX_COUNT),
    "deadline_s": Number("Seconds for which the endpoint may answer no call.", at_least=0),
    "rate": Rate("Most calls per time, such as 60/min. Default: what the endpoint allows."),
    "tokens_per_min": Number("Most tokens per minute. Default: none.", above=0),
    "max_cost_usd": Number("Limit on the cost of a run's judging. Default: none.", above=0),
    "prices": Section("Prices of a model whose prices evalkit does not know.", of="prices"),
}

JURY_KEYS: Keys = {
    "jury": SectionList(
        "Judges that all judge every answer.", of="judge", at_least=2, at_most=MAX_JURORS
    ),
    "rule": Choice(
        "`majority`: the level that more than half of all jurors give. `mean`: the mean of their values.",
        words=get_args(JuryRule),
    ),
}

NEEDED_PRICES = ("input", "output")
PRICE_KEYS: Keys = {
    "input": Number("USD per million input tokens.", at_least=0),
    "output": Number("USD per million output tokens.", at_least=0),
    "cached_input": Number(
        "USD per million input tokens from the provider's cache. Default: as `input`.", at_least=0
    ),
    "cache_write": Number(
        "USD per million input tokens written to the provider's cache. Default: as `input`.",
        at_least=0,
    ),
}

METRIC_KEYS: Keys = {
    "name": Label("The name in scores and thresholds. Default: the metric's own name."),
    "tags": Labels("Score only cases with one of these tags."),
}
"""The keys of a metric, in addition to the key that names the metric."""

# A rule has exactly one of these limits.
METRIC_LIMITS = ("min", "max", "max_drop", "max_rise")
CASE_LIMITS = ("max_regressed", "must_pass", "broken_cases")
COMPARISON_KEYS = ("and_at_least", "estimand")
"""Keys of rules that compare a metric with the baseline."""

RULE_KEYS: Keys = {
    "metric": Label("The metric's name."),
    "min": Number("The lowest value that passes."),
    "max": Number("The highest value that passes."),
    "max_drop": Number(
        "The largest drop below the baseline: in points for shares, else as a share of it.",
        at_least=0,
    ),
    "max_rise": Number(
        "The largest rise above the baseline: in points for shares, else as a share of it.",
        at_least=0,
    ),
    "stat": Choice("The statistic that is compared with the limit.", words=get_args(Stat)),
    "tag": Label("Only cases with this tag."),
    "tool": Label("Only calls of this tool, for metrics with the argument `tool`."),
    "model": Label("Only calls of this model, for metrics with the argument `model`."),
    "and_at_least": Number(
        "A change smaller than this, in the metric's unit, never fails.", above=0
    ),
    "margin": Number("A change for the worse that is still acceptable.", at_least=0),
    "alpha": Number(
        "The probability that an unchanged agent fails.",
        above=0,
        at_least=MIN_ALPHA,
        below=MAX_ALPHA,
        advice="It is the chance that an unchanged agent fails.",
    ),
    "estimand": Choice(
        "`suite` asks whether these cases got worse; `users` whether other cases like them would; `traffic` "
        "weighs them by the requests that resemble them.",
        words=("suite", "users", "traffic"),
    ),
    "test": Choice(
        "`exact` allows for the noise of trials; `point` compares the plain numbers.",
        words=("exact", "point"),
    ),
    "primary": Flag("Whether this threshold keeps its full alpha when there are several."),
    "max_regressed": Integer(
        "Cases that passed in the baseline and may fail now.", at_least=0, at_most=MAX_COUNT
    ),
    "must_pass": Section("Cases whose trials must all pass.", of="must_pass"),
    "broken_cases": Integer(
        "Cases stable in the baseline that fresh trials may prove broken.",
        at_least=0,
        at_most=MAX_COUNT,
    ),
}

TRAFFIC_RULE_KEYS: Keys = {
    **{key: RULE_KEYS[key] for key in ("metric", *METRIC_LIMITS, "and_at_least")},
    "stat": Choice(
        "The statistic that is compared with the limit.", words=("mean", "p50", "p95", "p99")
    ),
    "margin": Number(
        "A change for the worse that is still acceptable. Default: what the limit allows.",
        at_least=0,
    ),
    **{key: RULE_KEYS[key] for key in ("alpha", "primary")},
}
TRAFFIC_KEYS: Keys = {
    "gate": SectionList("The thresholds of `evalkit traffic gate`.", of="traffic_rule", at_least=1),
    "maturity_h": Number(
        "Hours after a request for which its feedback counts, and is waited for.", at_least=0
    ),
    "on_inconclusive": Choice(
        "How an inconclusive threshold affects the exit code. It is always reported.",
        words=("pass", "fail"),
    ),
}
"""The fields of `TrafficSection`."""

_SHARED_KEYS: Keys = {
    "agent": Section("The system under test.", of="agent"),
    "judge": Section("The judge of the rubrics, a list with fallbacks, or a jury.", of="judges"),
    "metrics": Section("The metrics that score every trial.", of="metrics"),
    "gate": SectionList("The thresholds that decide the exit code.", of="rule"),
    **SETTING_KEYS,
}
"""What a set and the project file may both have."""

PROJECT_KEYS: Keys = {
    **_SHARED_KEYS,
    "traffic": Section("The gate on traffic from production.", of="traffic"),
}
SET_KEYS: Keys = {
    "evalset": Label(
        "The set's name, used in file names. Default: the name of this file.",
        pattern=SET_NAME,
    ),
    "description": Text("What the set covers."),
    "cases": Section(
        "The cases, or the files (YAML, CSV, TSV, JSON, JSONL, Parquet) that list them.", of="cases"
    ),
    **_SHARED_KEYS,
}
CASE_FILE_KEYS: Keys = {"cases": SectionList("The cases.", of="case")}

CASE_KEYS: Keys = {
    "id": Label("The case's name, unique in the set regardless of letter case."),
    "input": Section("The question: text, or the turns of a conversation.", of="input"),
    "expected": Section(
        "The correct answer, in the form that the metrics take. The agent never sees it.",
        of="anything",
    ),
    "draft": Section(
        "An answer that nobody has confirmed; nothing is compared with it. Rename it to `expected`.",
        of="anything",
    ),
    "tags": Labels("Thresholds, metrics, and the command line select cases by tag."),
    "metadata": AnyMapping("Values for agent templates and metric plugins."),
    "provenance": AnyMapping("Where the case is from. The agent never sees it."),
    "cluster": Label("Cases of one cluster share a source, such as a document."),
    "metrics": Section(
        "Metrics of this case. Each replaces the set's metric of the same name, or is added.",
        of="own_metrics",
    ),
    CRITERIA: Section(
        "Requirements of this case alone, judged as the metric `criteria`.", of=CRITERIA
    ),
}
TURN_KEYS: Keys = {
    "role": Choice("Who speaks.", words=get_args(Role)),
    "content": Text("What is said."),
}
