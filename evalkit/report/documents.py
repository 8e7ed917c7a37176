"""Declare the keys of the JSON documents that evalkit prints, and encode the records in them.

`json_schema` generates `evalkit/schemas/report.schema.json` from these tables and the records, so each
key is declared once. An `Attributes:` section describes the keys that need more than their name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any, Literal, TypeAlias, TypedDict

from evalkit.compare.breakage import Breakage
from evalkit.compare.call_stats import CallStats
from evalkit.core.calibration import JurorAgreement
from evalkit.core.eval_set import Turn
from evalkit.core.gate_result import (
    Comparison,
    GateReview,
    MetricChange,
    MetricPasses,
    MetricSummary,
)
from evalkit.core.gate_source import Acceptance, DefinitionSource
from evalkit.core.judgement import JudgeTrust
from evalkit.core.literals import CaseStatus, Json, Outcome, TrialState
from evalkit.core.run import MetricInfo
from evalkit.core.run_budget import RunBudget
from evalkit.core.safe_text import format_json
from evalkit.core.trial import Output, Score
from evalkit.report.cached_answers import CachedAnswers

PropertyTable: TypeAlias = Mapping[type[Any], tuple[str, ...]]

RUN_PROPERTIES: PropertyTable = {MetricChange: ("difference",), CallStats: ("error_rate",)}
"""The computed properties of records that documents contain in addition to the fields."""


def to_document(value: Any, properties: PropertyTable = RUN_PROPERTIES) -> Json:
    """Encode a record and the records in it, with the fields and the listed properties as keys."""
    if is_dataclass(value):
        kind: type[Any] = type(value)
        names = [*(field.name for field in fields(kind)), *properties.get(kind, ())]
        return {name: to_document(getattr(value, name), properties) for name in names}
    if isinstance(value, Mapping):
        # JSON keys are text, and `all_pass` maps numbers.
        return {str(key): to_document(item, properties) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [to_document(item, properties) for item in value]
    return value


def render_record(schema: str, record: Any, properties: PropertyTable = RUN_PROPERTIES) -> str:
    """Render a record as a JSON document that starts with the name of its schema."""
    return format_json({"schema": schema, **to_document(record, properties)})


class AgentDocument(TypedDict):
    """The agent under test.

    Attributes:
        version: The label that scores are compared by.
    """

    kind: str
    entrypoint: str
    version: str
    digest: str


class RunDocument(TypedDict):
    """The plan and the environment of a run.

    Attributes:
        path: The folder or file the run was read from.
        finished: False if the run was stopped and trials are missing.
        created: ISO 8601, UTC.
        evalset_digest: Equal when everything that can change a score is equal.
        settings: Every setting of the run by name.
        trials: Planned trials of each case; in a group-sequential run, those planned so far.
        selection: The options that selected a part of the set; empty for the whole set.
        cases: Selected cases.
        scored_from: The run whose outputs were scored again; empty if an agent was called.
        budget: What the run may take at most, and how it was allotted; null without a budget.
        cache: How many of the answers came from the cache, and what the cache does not cover; null
            if none did.
        judges: Controls, anchors, and costs of the judges; null without a judge.
        warnings: Entries that were repaired or skipped while the run was read.
    """

    id: str
    path: str
    finished: bool
    created: str
    evalkit_version: str
    evalset: str
    evalset_path: str
    evalset_digest: str
    agent: AgentDocument
    git_commit: str
    git_dirty: bool
    metrics: tuple[MetricInfo, ...]
    settings: Mapping[str, Json]
    trials: int
    selection: str
    shard: str
    cases: int
    cases_in_set: int
    scored_from: str
    budget: RunBudget | None
    cache: CachedAnswers | None
    judges: JudgeTrust | None
    warnings: tuple[str, ...]


class TrialDocument(TypedDict):
    """One run of the agent on a case.

    Attributes:
        number: Counts from 0.
        state: Every planned trial is in exactly one state.
        passed: Completely scored, and no score failed.
        attempts: Calls of the agent including retries; 0 if the trial was not run.
        started_s: When the agent was first called, in seconds of Unix time; null if unknown.
        took_s: How long the trial took from then until its last score, in seconds; null if unknown.
        output: Null if the trial was not run. Its `spans` have no arguments, results, and attributes:
            `evalkit show RUN CASE --format json` has them.
    """

    number: int
    state: TrialState
    passed: bool
    attempts: int
    started_s: float | None
    took_s: float | None
    output: Output | None
    scores: tuple[Score, ...]


class CaseResultDocument(TypedDict):
    """One selected case with its result.

    Attributes:
        status: The same in every report, whatever the gate says. `regressed` passed in the baseline and
            fails now; if its baseline trials disagreed, by more than that explains. `failing` fails,
            and either the case or a metric is new. `error` is not completely scored. `flaky` passes in
            some trials and fails in others, in this run or in the baseline. `still_failing` fails as in
            the baseline. `not_run` was not reached before the run ended. `removed` is in the baseline
            only.
        flaky: Whether its trials disagree, in this run or in the baseline.
        passed: Scored trials that passed by all metrics of the case.
        scored: Trials that are completely scored.
        baseline: The passes of the whole case in the baseline, by the metrics that both runs define in the
            same way; `now_passed` are the passes of this run by the same metrics.
        counts_of: The metric whose passes, in `on_metric`, say why the case has its status; null if
            those of the whole case do.
        on_metric: The passes of the metric that newly fails, if the counts of the case do not show that;
            else null.
        reason: Why the case has its status, in one line; null if it passes.
        breaks: The names of the failed thresholds that the failures of the case break.
    """

    id: str
    tags: tuple[str, ...]
    path: str
    line: int
    status: CaseStatus
    flaky: bool
    passed: int
    scored: int
    baseline: Mapping[Literal["passed", "scored", "now_passed"], int] | None
    counts_of: str | None
    on_metric: MetricPasses | None
    reason: str | None
    breaks: tuple[str, ...]
    trials: list[TrialDocument]


class TallyDocument(TypedDict):
    """The state of every selected trial.

    Attributes:
        errors: Trials that should have a score and have none.
        counts: Sums to `selected`.
    """

    selected: int
    errors: int
    counts: Mapping[TrialState, int]


class CheckDocument(TypedDict):
    """One decided threshold; its other keys are those of the record.

    Attributes:
        name: The metric with its statistic and tag.
    """

    name: str


class ReportDocument(TypedDict):
    """A run with its gate result. `run`, `gate`, `score`, `merge`, and `show` print it.

    Attributes:
        exit_code: 0 passed, 1 failed, 3 undecided, 4 needs approval, 128 + signal if interrupted.
        reason: One sentence.
        statuses: Cases by status; sums to the number of cases.
        cut_off: Answers that end at a limit of tokens; they have the flag `cut_off`.
        checks: The thresholds in the order of the gate.
        calls: Every tool by name, then every model.
        jurors: The agreement of the members of a jury, by metric and criterion.
        cases: In the order of the eval set.
        where_it_broke: Where newly failing cases differ first from the baseline; null if no threshold
            failed, no case newly fails, or no steps are known.
        gate: The edits that a change makes to its gate; null if no gate was compared.
        definition: Why the gate is this checkout's own, in CI; null if it is that of another commit.
        acceptance: Who accepted that the run fails or loosens its gate, and for which commit; the exit
            code is then 0 and `outcome` what was accepted. Null if nothing was accepted.
        next: Commands to type next, each with a label.
    """

    schema: Literal["evalkit.report/v1"]
    outcome: Outcome
    exit_code: int
    reason: str
    run: RunDocument
    baseline: RunDocument | None
    tally: TallyDocument
    statuses: Mapping[CaseStatus, int]
    cut_off: int
    checks: list[CheckDocument]
    metrics: tuple[MetricSummary, ...]
    calls: tuple[CallStats, ...]
    jurors: tuple[JurorAgreement, ...]
    cases: list[CaseResultDocument]
    comparison: Comparison | None
    where_it_broke: Breakage | None
    gate: GateReview | None
    definition: DefinitionSource | None
    acceptance: Acceptance | None
    notes: tuple[str, ...]
    next: list[Mapping[Literal["label", "command"], str]]


class CaseInputDocument(TypedDict):
    """A case as the eval set defines it.

    Attributes:
        draft: An answer that nobody has confirmed; nothing was compared with it.
    """

    id: str
    input: str | tuple[Turn, ...]
    expected: Json
    draft: Json
    tags: tuple[str, ...]
    metadata: Mapping[str, Json]
    provenance: Mapping[str, Json]
    cluster: str | None
    digest: str
    path: str
    line: int


class CaseDocument(TypedDict):
    """One case of a run. `show RUN CASE` prints it.

    Attributes:
        fresh_trials: Trials that were run again because the case newly failed.
    """

    schema: Literal["evalkit.case/v1"]
    run: RunDocument
    baseline: RunDocument | None
    case: CaseInputDocument
    trials: list[TrialDocument]
    fresh_trials: list[TrialDocument]
    baseline_trials: list[TrialDocument]


class DiffTextDocument(TypedDict):
    """The outputs of a case named by `--case`; null if a run has none.

    Attributes:
        steps: Sentences on how the steps of the two trials differ; empty if no steps are known.
    """

    case_id: str
    base: str | None
    candidate: str | None
    steps: list[str]
