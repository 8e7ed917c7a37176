"""Search the history between two commits: run a commit, decide it, and continue in the half that remains."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from evalkit.bisect.commit_run import CommitRun, LookPlan, Workspace, run_commit
from evalkit.bisect.history import CommitRange
from evalkit.bisect.search import Search, Verdict, count_steps, level_at_step, share_at_look
from evalkit.bisect.verdict import (
    BisectedMetric,
    CommitDecision,
    Ends,
    StepRule,
    Version,
    choose_rule,
    decide_commit,
    explain_errors,
    measure_step,
)
from evalkit.core.errors import Interrupted, InvalidInput, StoreError, Undecidable
from evalkit.core.format import format_count
from evalkit.core.run import Run
from evalkit.core.settings import merge_settings
from evalkit.report.bisect import CommitDescription, CommitTest, TestedCommit

GOOD, BAD = "GOOD", "BAD"


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """How much a bisect may use: trials per case of a commit, and USD altogether.

    GOOD and BAD get all trials, because every other commit is compared with them, and because a number that
    depended on their results would bias each of these comparisons.
    """

    trials: int
    max_cost_usd: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Tested:
    """A tested commit with its row of the report; `run` is None if the agent could not be called."""

    row: TestedCommit
    run: Run | None


@dataclass(slots=True)
class Ledger:
    """What the runs of a bisect have used so far."""

    agent_calls: int = 0
    reused_answers: int = 0
    cost_usd: float = 0.0
    has_cost: bool = False
    levels: list[float] = field(default_factory=list)

    def add(self, done: CommitRun) -> None:
        """Count one run."""
        self.agent_calls += done.agent_calls
        self.reused_answers += done.reused_answers
        self.cost_usd += done.cost_usd
        self.has_cost |= any(trial.output.cost_usd is not None for trial in done.run.trials)


@dataclass(frozen=True, kw_only=True, slots=True)
class SearchResult:
    """Where a search ended: its state, the tested commits by position, and the rule.

    Position 0 is GOOD, the last one BAD. `stopped` says why the search ended early; empty if it did not.
    """

    search: Search
    tested: Mapping[int, Tested]
    step_rule: StepRule
    change: CommitTest
    stopped: str
    is_out_of_money: bool


class _OutOfMoney(Exception):
    """The cost limit is reached; the message says which."""


class Session:
    """One bisect: runs commits within its limits, and says what it does.

    `again` is the command that continues it, for messages.
    """

    def __init__(
        self,
        workspace: Workspace,
        history: CommitRange,
        measure: BisectedMetric,
        limits: Limits,
        again: str,
    ) -> None:
        self.ledger = Ledger()
        self._workspace = workspace
        self.history = history
        self._measure = measure
        self._limits = limits
        self._again = again
        evalset = workspace.project.load_valid(workspace.request.path)
        settings = merge_settings(evalset.settings, workspace.request.overrides)
        self._max_errors = settings.max_errors
        self._budget = limits.max_cost_usd or settings.max_cost_usd

    def search(self) -> SearchResult:
        """Test GOOD and BAD, then commits between them until one remains or none can be decided.

        Raises:
            InvalidInput: BAD is not worse than GOOD.
            Undecidable: it is open whether it is, or a judge is down.
            Interrupted: a stop was requested.
        """
        ends = self._run_ends()
        rule = choose_rule(self._measure, ends, self._max_errors)
        step_rule = StepRule(rule=rule, max_errors=self._max_errors)
        change = measure_step(step_rule, ends.good, ends.bad, rule.alpha)
        self._refuse_if_not_worse(step_rule, change, ends)
        self._say(f"BAD is worse: {change.sentence}.")
        commits = self.history.commits
        search = Search.start(len(commits))
        tested = {
            0: _tested_end(self.history.good, ends.good, "good"),
            len(commits): _tested_end(self.history.bad, ends.bad, "bad"),
        }
        planned, stopped = count_steps(len(commits)), ""
        undecided, is_out_of_money = 0, False
        while (position := search.next_commit) is not None:
            if undecided > planned:
                stopped = f"{format_count(undecided, 'commit')} stayed inconclusive."
                break
            step = len(self.ledger.levels)
            level = level_at_step(rule.alpha, step, planned)
            self._say(f"step {step + 1} of about {planned}: testing {commits[position - 1]}")
            try:
                found = self._test(commits[position - 1], step_rule, ends, level)
            except _OutOfMoney as limit:
                stopped, is_out_of_money = f"{limit}.", True
                break
            tested[position] = found
            search = search.record(position, found.row.verdict)
            undecided += found.row.verdict == "skipped" and found.row.from_good is not None
            self._say(f"{found.row.commit.short} is {found.row.verdict}: {found.row.reason}")
        return SearchResult(
            search=search,
            tested=tested,
            step_rule=step_rule,
            change=change,
            stopped=stopped,
            is_out_of_money=is_out_of_money,
        )

    def _run_ends(self) -> Ends:
        """Run GOOD and BAD with all trials."""
        trials = self._limits.trials
        looks = LookPlan(first=trials, most=trials, is_open=lambda _: False)
        ends: list[Version] = []
        for name, commit in ((GOOD, self.history.good), (BAD, self.history.bad)):
            self._say(f"testing {name} {commit}")
            calls = self.ledger.agent_calls
            baseline = ends[0].run if ends else None
            try:
                done = self._run(commit, looks, baseline)
            except InvalidInput as error:
                raise InvalidInput.single(f"{name} {commit}: {error}") from error
            except _OutOfMoney as limit:
                raise Undecidable(
                    f"{limit}, before {name} was tested. What is stored is not paid for again. "
                    f"Continue with: {self._again}"
                ) from None
            if reason := explain_errors(done, self._max_errors):
                raise Undecidable(f"{name} {commit} decides nothing: {reason}")
            calls = self.ledger.agent_calls - calls
            ends.append(Version(name=name, run=done, agent_calls=calls))
        return Ends(good=ends[0], bad=ends[1])

    def _refuse_if_not_worse(self, step_rule: StepRule, change: CommitTest, ends: Ends) -> None:
        """Raise an error unless BAD is proven to be worse."""
        if change.is_worse:
            return
        if change.problem:
            raise Undecidable(f"GOOD and BAD cannot be compared: {change.problem}")
        reverse = measure_step(step_rule, ends.bad, ends.good, step_rule.rule.alpha)
        if reverse.is_worse:
            raise InvalidInput.single(
                f"BAD is better than GOOD, not worse: {reverse.sentence}. Exchange what you call good "
                f"and bad, or name another metric with --metric."
            )
        if change.before == change.after or (change.p_value or 0.0) >= 0.5:
            raise InvalidInput.single(
                f"GOOD is not better than BAD: {change.sentence}. Name other commits, or another "
                f"metric with --metric."
            )
        raise Undecidable(
            f"it is open whether BAD is worse than GOOD: {change.sentence}. Test them with more "
            f"trials: --trials {2 * self._limits.trials}"
        )

    def _test(
        self, commit: CommitDescription, step_rule: StepRule, ends: Ends, level: float
    ) -> Tested:
        """Run a commit until it is decided. One whose agent cannot be called is skipped."""
        trials = self._limits.trials

        def decide(run: Run) -> CommitDecision:
            at_look = level * share_at_look(run.header.trials, trials)
            version = Version(name=commit.short, run=run)
            return decide_commit(step_rule, version, ends, at_look)

        def is_open(run: Run) -> bool:
            # A failed call or a run that cannot be compared is skipped at once.
            found = decide(run)
            return found.verdict == "skipped" and _is_inconclusive(found)

        looks = LookPlan(first=1, most=trials, is_open=is_open)
        calls = self.ledger.agent_calls
        try:
            run = self._run(commit, looks, ends.good.run)
        except (StoreError, Interrupted):
            raise
        except (InvalidInput, Undecidable) as error:
            reason = " ".join(str(error).split())
            return Tested(
                row=TestedCommit(commit=commit, verdict="skipped", reason=reason), run=None
            )
        # Only a test that can have been wrong uses a part of alpha.
        found = decide(run)
        if found.from_good is not None:
            self.ledger.levels.append(level)
        row = TestedCommit(
            commit=commit,
            verdict=found.verdict,
            reason=found.reason,
            trials=run.header.trials,
            agent_calls=self.ledger.agent_calls - calls,
            run=run.header.id,
            from_good=found.from_good,
            to_bad=found.to_bad,
        )
        return Tested(row=row, run=run if found.from_good is not None else None)

    def _run(self, commit: CommitDescription, looks: LookPlan, baseline: Run | None) -> Run:
        """Run a commit within what is left of the budget.

        Raises:
            _OutOfMoney: the limit is reached.
            Interrupted: a stop was requested.
        """
        workspace = self._workspace
        if self._budget is not None:
            left = self._budget - self.ledger.cost_usd
            if left <= 0:
                raise _OutOfMoney(f"the cost limit of ${self._budget:g} is reached")
            overrides = replace(workspace.request.overrides, max_cost_usd=left)
            workspace = replace(workspace, request=replace(workspace.request, overrides=overrides))
        done = run_commit(workspace, commit, looks, baseline)
        self.ledger.add(done)
        if done.interrupted_by is not None:
            raise Interrupted(
                f"interrupted. Every finished trial is stored. Continue with: {self._again}",
                done.interrupted_by,
            )
        if done.out_of_money:
            raise _OutOfMoney(done.out_of_money)
        return done.run

    def _say(self, text: str) -> None:
        self._workspace.context.say(text)


def _is_inconclusive(decision: CommitDecision) -> bool:
    """Return whether more trials may decide a commit that is not decided."""
    tests = (decision.from_good, decision.to_bad)
    return all(test is not None and not test.problem for test in tests)


def _tested_end(commit: CommitDescription, version: Version, verdict: Verdict) -> Tested:
    row = TestedCommit(
        commit=commit,
        verdict=verdict,
        reason=version.name,
        trials=version.run.header.trials,
        agent_calls=version.agent_calls,
        run=version.run.header.id,
    )
    return Tested(row=row, run=version.run)
