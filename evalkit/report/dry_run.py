"""Render the size and cost of a planned run as terminal text and as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from evalkit.core.format import format_count
from evalkit.core.run_budget import RunBudget
from evalkit.core.safe_text import format_json
from evalkit.report.budget import budget_sentences
from evalkit.report.content import value_cell
from evalkit.report.documents import PropertyTable, render_record, to_document
from evalkit.report.screen import Screen, join_folded

_PREVIEW = "evalkit.preview/v1"


@dataclass(frozen=True, kw_only=True, slots=True)
class PlannedJudge:
    """The calls of one judge: the `expected_calls` if it is never asked twice, and the most `calls`.

    A judge that `takes_over` is asked only if no judge before it answers.
    """

    name: str
    expected_calls: int
    calls: int
    takes_over: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class DryRun:
    """The size of a planned run; the cost is None if no stored trial has one.

    A case takes up to `most_trials` if the first `trials` do not decide the gate, and `fresh_trials` more if
    it newly fails. `agent_calls` and `judge_calls` are upper bounds without retries after failures; a cached
    answer or verdict needs no call. `expected_agent_calls` and cost are those of the first `trials`. Each of
    `judges` after the first is called only if those before it are down. `warnings` name the thresholds that
    this run cannot decide. `budget` says how a budget is allotted; None without one.
    """

    evalset: str
    agent: str
    cases: tuple[str, ...]
    cases_in_set: int
    trials: int
    most_trials: int
    agent_calls: int
    expected_agent_calls: int
    cost_usd: float | None
    metrics: tuple[str, ...]
    baseline_trials: int
    judge: str = ""
    judge_calls: int = 0
    fresh_trials: int = 0
    judges: tuple[PlannedJudge, ...] = ()
    max_cost_usd: float | None = None
    budget: RunBudget | None = None
    warnings: tuple[str, ...] = ()


def dry_run_text(preview: DryRun, screen: Screen) -> str:
    """Render a planned run for a terminal."""
    cost = "unknown (no stored trial has a cost)"
    if preview.cost_usd is not None:
        cost = f"about {value_cell(preview.cost_usd, 'usd')}, as in the baseline"
    limit = "" if preview.max_cost_usd is None else value_cell(preview.max_cost_usd, "usd")
    baseline = "none yet"
    if preview.baseline_trials:
        baseline = f"{format_count(preview.baseline_trials, 'trial')} per case"
    calls = format_count(preview.expected_agent_calls, "agent call")
    more = ""
    if preview.most_trials > preview.trials:
        more = f"; up to {preview.most_trials} per case while the gate is inconclusive"
    if preview.fresh_trials:
        more += f"; {preview.fresh_trials} more of each case that newly fails"
    in_set = format_count(preview.cases_in_set, "case")
    lines = [
        f"Would run {len(preview.cases)} of {in_set} of {preview.evalset}",
        f"  agent: {preview.agent}",
        f"  trials: {preview.trials} per case, {calls} in total{more}",
        *_list_calls(preview),
        f"  cost of the agent: {cost}",
        *([f"  cost limit: {limit}"] if limit else []),
        *(f"  {sentence}" for sentence in _list_budget(preview)),
        f"  scored by: {', '.join(preview.metrics)}",
        *_list_judges(preview),
        f"  baseline: {baseline}",
        f"  cases: {', '.join(preview.cases)}",
        *(f"  warning: {warning}" for warning in preview.warnings),
        "Nothing was run.",
    ]
    return join_folded(lines, screen)


def _list_calls(preview: DryRun) -> Iterator[str]:
    """Yield the upper bound of all calls, and what it leaves out."""
    judges = (
        f" and {format_count(preview.judge_calls, 'judge call')}" if preview.judge_calls else ""
    )
    yield (
        f"  calls: at most {format_count(preview.agent_calls, 'agent call')}{judges}, without retries "
        "after rate limits, timeouts, and other failures of the connection or the service"
    )


def _list_budget(preview: DryRun) -> tuple[str, ...]:
    return budget_sentences(preview.budget) if preview.budget is not None else ()


def _list_judges(preview: DryRun) -> Iterator[str]:
    """Yield the calls of each judge."""
    if preview.judge and not preview.judges:
        yield f"  judge: {preview.judge}, no calls"
    for judge in preview.judges:
        about = format_count(judge.expected_calls, "call")
        when = ", only if no judge before it answers" if judge.takes_over else ""
        yield (
            f"  judge: {judge.name}{when}: {about} with its controls if every reply is a verdict, "
            f"{judge.calls:,} at most"
        )


def dry_run_json(preview: DryRun) -> str:
    """Render a planned run as an `evalkit.preview/v1` document."""
    return render_record(_PREVIEW, preview)


@dataclass(frozen=True, kw_only=True, slots=True)
class DryRuns:
    """The sizes of the planned runs of several sets.

    `unselected` names the sets in which no case is selected. `max_cost_usd` limits all runs together.
    """

    previews: tuple[DryRun, ...]
    unselected: tuple[str, ...] = ()
    max_cost_usd: float | None = None

    @property
    def cost_usd(self) -> float | None:
        """The expected cost of all agents; None if that of one is unknown."""
        costs = [preview.cost_usd for preview in self.previews]
        known = [cost for cost in costs if cost is not None]
        return sum(known) if costs and len(known) == len(costs) else None


JSON_PROPERTIES: PropertyTable = {DryRuns: ("cost_usd",)}


def dry_runs_text(found: DryRuns, screen: Screen) -> str:
    """Render several planned runs for a terminal."""
    previews, cost = found.previews, found.cost_usd
    cases = format_count(sum(len(preview.cases) for preview in previews), "case")
    calls = format_count(sum(preview.agent_calls for preview in previews), "agent call")
    about = "" if cost is None else f", about {value_cell(cost, 'usd')} for the agents"
    limit = f", limited to {value_cell(found.max_cost_usd, 'usd')}" if found.max_cost_usd else ""
    total = f"{format_count(len(previews), 'set')}: {cases}, at most {calls}{about}{limit}"
    texts = [dry_run_text(preview, screen) for preview in previews]
    return "\n".join([*texts, join_folded([*found.unselected, total], screen)])


def dry_runs_json(found: DryRuns) -> str:
    """Render several planned runs as an `evalkit.previews/v1` document, which contains that of each."""
    document = to_document(found, JSON_PROPERTIES)
    previews = [{"schema": _PREVIEW, **preview} for preview in document["previews"]]
    return format_json({**document, "schema": "evalkit.previews/v1", "previews": previews})
