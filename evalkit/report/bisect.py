"""Render the result of a bisect, the commit that made an agent worse, as terminal text and as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from evalkit.core.format import format_count, format_odds
from evalkit.core.gate_result import CaseChange
from evalkit.report.content import change_cell, value_cell
from evalkit.report.documents import PropertyTable, render_record
from evalkit.report.screen import Cell, Screen, Style, align_columns, heading, join_sections

BisectOutcome: TypeAlias = Literal["found", "between"]

_MAX_NAMED = 10


@dataclass(frozen=True, kw_only=True, slots=True)
class CommitDescription:
    """A commit as git describes it; `date` is the author's, in ISO 8601."""

    sha: str
    parents: tuple[str, ...]
    author: str
    date: str
    subject: str

    @property
    def short(self) -> str:
        """The first ten digits of the id."""
        return self.sha[:10]

    def __str__(self) -> str:
        return f"{self.short} ({self.subject})"


@dataclass(frozen=True, kw_only=True, slots=True)
class CommitTest:
    """The exact paired test of whether a later version is worse than an earlier one.

    `before` and `after` are the compared statistics in the metric's unit. `level` is the level of the
    one-sided p-value. `is_worse` is set if the test proved it. `problem` says why the runs could not be
    compared; empty if they could.
    """

    earlier: str
    later: str
    metric: str
    unit: str
    is_worse: bool
    level: float
    p_value: float | None = None
    before: float | None = None
    after: float | None = None
    difference: float | None = None
    cases: int = 0
    base_trials: float = 0.0
    trials: float = 0.0
    problem: str = ""

    @property
    def sentence(self) -> str:
        """The numbers of the test."""
        if self.problem or self.before is None or self.after is None:
            return self.problem or f"{self.metric} has no value"
        change = change_cell(self.difference, self.unit)
        trials = dict.fromkeys(f"{each:.3g}" for each in (self.base_trials, self.trials))
        size = f"{format_count(self.cases, 'case')}, trials of each: {' and '.join(trials)}"
        text = (
            f"{self.metric} {value_cell(self.before, self.unit)} at {self.earlier} -> "
            f"{value_cell(self.after, self.unit)} at {self.later} ({change}; {size})"
        )
        if self.p_value is None:
            return text
        odds = format_odds(self.p_value, self.level)
        return f"{text}; if nothing had changed, a result this bad would come up {odds}"


@dataclass(frozen=True, kw_only=True, slots=True)
class TestedCommit:
    """One commit that was tested, and the verdict.

    `trials` are those of each case that the verdict used, and `agent_calls` those that were not stored
    before. `run` is the id of the stored run, empty if there is none. `reason` explains the verdict.
    `from_good` tests whether it is worse than GOOD, and `to_bad` whether BAD is worse than it.
    """

    commit: CommitDescription
    verdict: Literal["good", "bad", "skipped"]
    reason: str
    trials: int = 0
    agent_calls: int = 0
    run: str = ""
    from_good: CommitTest | None = None
    to_bad: CommitTest | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class BisectResult:
    """The commit that made the agent worse, or the commits of which one did.

    `found` is None if the search left several `suspects`, which are in order of history. `tested`
    has the commits with a verdict in order of history, and GOOD and BAD. `change` is the test between the
    ends. `step` tests the suspects' last commit directly against the newest good one. `errors_at_most`
    bounds the chance that a verdict is wrong, if every commit is like GOOD or like BAD. `changed_files` are
    those of the suspects, `broken` the cases that got worse from GOOD to the last suspect. `other_changes` are sentences about further changes for the worse
    or the better. `caution` says that the cause may be a commit that was not to be tested. `left_out` counts the commits
    that were not tested, because they cannot have changed the agent or because of `--path`. `stopped` says why the
    search ended early; empty if it did not. `hints` are commands to type next, by what they are for.
    """

    outcome: BisectOutcome
    exit_code: int
    evalset: str
    metric: str
    good: CommitDescription
    bad: CommitDescription
    found: CommitDescription | None
    suspects: tuple[CommitDescription, ...]
    last_good: CommitDescription
    change: CommitTest
    step: CommitTest
    tested: tuple[TestedCommit, ...]
    errors_at_most: float
    changed_files: tuple[str, ...]
    broken: tuple[CaseChange, ...]
    other_changes: tuple[str, ...]
    caution: str
    commits: int
    left_out: int
    agent_calls: int
    reused_answers: int
    cost_usd: float | None
    stopped: str
    hints: Mapping[str, str] = field(default_factory=dict)

    @property
    def sentence(self) -> str:
        """The result in one sentence."""
        if self.found is not None:
            return f"FOUND {self.found} made {self.metric} worse."
        return (
            f"BETWEEN {self.last_good.short} and {self.suspects[-1].short}: one of "
            f"{format_count(len(self.suspects), 'commit')} made {self.metric} worse."
        )


JSON_PROPERTIES: PropertyTable = {CommitTest: ("sentence",), BisectResult: ("sentence",)}


def bisect_json(result: BisectResult) -> str:
    """Render a result as an `evalkit.bisect/v1` document."""
    return render_record("evalkit.bisect/v1", result, JSON_PROPERTIES)


def bisect_text(result: BisectResult, screen: Screen) -> str:
    """Render a result for a terminal."""
    lead = [heading(result.sentence, screen), *screen.fold_all(_list_facts(result), hang="    ")]
    table = align_columns(
        [_row(each) for each in result.tested],
        screen,
        titles=("commit", "verdict", "trials", "calls", "by chance", "reason"),
        shrinkable={5: 20},
        right=(2, 3),
    )
    notes = screen.fold_all(_list_notes(result), hang="    ")
    hints = screen.fold_all(
        (f"{label}: {command}" for label, command in result.hints.items()), hang="    "
    )
    return join_sections([lead, [heading("Tested commits", screen), *table], notes, hints])


def _list_facts(result: BisectResult) -> Iterator[str]:
    """Yield what is known about the commit or the suspects."""
    if result.found is not None:
        yield f"  author: {result.found.author}, {result.found.date}"
        if len(result.found.parents) > 1:
            yield "  It is a merge: one of the merged commits made it worse."
    else:
        reasons = {each.commit.sha: each.reason for each in result.tested}
        for commit in result.suspects[:_MAX_NAMED]:
            why = reasons.get(commit.sha, "not tested")
            yield f"  {commit}: {why}"
        if len(result.suspects) > _MAX_NAMED:
            yield f"  and {len(result.suspects) - _MAX_NAMED:,} more"
    if result.stopped:
        yield f"  Stopped early: {result.stopped}"
    yield f"  GOOD to BAD: {result.change.sentence}."
    if (result.step.earlier, result.step.later) != (result.change.earlier, result.change.later):
        proof = "" if result.step.is_worse else " That alone proves nothing."
        yield f"  this step: {result.step.sentence}.{proof}"
    if result.broken:
        yield f"  cases that broke since GOOD: {_name_some([_case_text(each) for each in result.broken])}"
    if result.changed_files:
        yield f"  changed files: {_name_some(result.changed_files)}"
    if result.caution:
        yield f"  {result.caution}"
    yield from (f"  {sentence}" for sentence in result.other_changes)


def _case_text(change: CaseChange) -> str:
    return (
        f"{change.case_id} ({change.base_passed}/{change.base_trials} -> "
        f"{change.passed}/{change.trials})"
    )


def _name_some(names: Sequence[str]) -> str:
    more = len(names) - _MAX_NAMED
    return ", ".join(names[:_MAX_NAMED]) + (f", and {more:,} more" if more > 0 else "")


def _row(tested: TestedCommit) -> list[Cell | str]:
    styles: dict[str, Style] = {"good": "good", "bad": "bad", "skipped": "warn"}
    trials = f"{tested.trials}" if tested.trials else ""
    return [
        tested.commit.short,
        Cell(tested.verdict, styles[tested.verdict]),
        trials,
        f"{tested.agent_calls:,}",
        _chance_cell(tested),
        tested.reason,
    ]


def _chance_cell(tested: TestedCommit) -> str:
    """Return how often chance alone would give the result that a verdict rests on."""
    test = {"bad": tested.from_good, "good": tested.to_bad, "skipped": None}[tested.verdict]
    if test is None or test.p_value is None:
        return ""
    odds = format_odds(test.p_value, test.level).replace("1 time in", "1 in")
    return odds.removeprefix("about ").replace("less than", "under")


def _list_notes(result: BisectResult) -> Iterator[str]:
    """Yield the odds of a wrong verdict, and what the search cost."""
    yield (
        f"If every commit is as good as GOOD or as bad as BAD, a verdict is wrong at most "
        f"{100 * result.errors_at_most:.2g}% of the time."
    )
    left_out = ""
    if result.left_out:
        others = format_count(result.left_out, "other commit")
        left_out = f" ({others} left out)"
    cost = "" if result.cost_usd is None else f", {value_cell(result.cost_usd, 'usd')}"
    reused = ""
    if result.reused_answers:
        reused = f", {format_count(result.reused_answers, 'stored answer')} used again"
    yield (
        f"{format_count(result.commits, 'commit')} after GOOD{left_out}; "
        f"{format_count(result.agent_calls, 'agent call')}{reused}{cost}."
    )
