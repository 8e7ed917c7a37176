"""Run the trials of a plan in stages: those in its header, then those that its results require."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from evalkit.agents.wrappers import NoAgent
from evalkit.core.eval_set import AgentSpec
from evalkit.core.judgement import Judgement, JudgeTrust
from evalkit.core.run import Run, RunHeader
from evalkit.judge.judge_panel import JudgePanel
from evalkit.runner.pairs import compare_answers
from evalkit.runner.records import Execution, NextStageFinder, Plan
from evalkit.runner.redactor import build_redactor
from evalkit.runner.rescore import rejudge
from evalkit.runner.scheduler import (
    RunLimits,
    Runner,
    TrialTask,
    Work,
    interleave,
    list_pending_trials,
    run_all,
)
from evalkit.runner.signals import StopRequest
from evalkit.runner.trial_sink import RunSide, TrialSink
from evalkit.store.baseline import store_rescored_baseline
from evalkit.store.run_spans import attach_spans


async def run_stages(  # noqa: PLR0913 - both sides of a run, and what they are compared by
    plan: Plan,
    candidate: RunSide,
    baseline: Run | None,
    load_looks: Callable[[], NextStageFinder],
    stop: StopRequest,
    *,
    against: RunSide | None = None,
    exit_first: bool = False,
) -> Execution:
    """Run the trials in the candidate's header, then each further stage that the results require.

    A candidate without an agent only has its stored outputs scored. With `against`, the trials of both
    sides run in turns, and that side's run is the baseline. With `exit_first`, the first failure ends
    the run. `load_looks` imports the function that finds the next stage, first in a thread. After a stop
    is requested, what came is stored, and the run is incomplete.
    """
    panel = plan.panel
    runner, against_runner = _build_runners(plan, candidate, against, exit_first=exit_first)
    next_header: RunHeader | None = candidate.header
    with stop.busy():
        loading = asyncio.ensure_future(_load_judge_and_gate(panel, load_looks))
        while next_header is not None:
            candidate = replace(candidate, header=next_header)
            with candidate.sink.report_progress(next_header, baseline):
                await _run_stage(plan, (runner, candidate), (against_runner, against), stop)
            unreachable = runner.unreachable or bool(against_runner and against_runner.unreachable)
            # If no trial is left, the failure ended nothing.
            cut_short = runner.exited_first and any(_list_tasks(plan, candidate))
            early = unreachable or cut_short or plan.out_of_money or panel.down_reason
            complete = not (early or stop.requested.is_set())
            if complete:
                baseline = against.run if against else baseline
                unifying = _unify_judges(plan, candidate, baseline, stop)
                candidate, baseline = await stop.finish_in_time(unifying) or (candidate, baseline)
                complete = not (stop.requested.is_set() or panel.down_reason)
            run = candidate.run
            next_header = None
            if complete and baseline is not None and candidate.agent is not None:
                next_header = load_looks()(plan, run, baseline)
            if next_header is not None:
                # Stored before its first trial, so that a killed run resumes with this stage.
                candidate.sink.writer.rewrite_header(next_header)
        await stop.finish_in_time(loading)
        trust = await _store_trust(panel, run, candidate.sink, stop) if complete else None
        complete = complete and not (stop.requested.is_set() or panel.down_reason)
    if complete:
        _finish_runs(candidate, run, against, baseline)
    return Execution(
        run=replace(run, finished=complete, trust=trust),
        plan=plan,
        baseline=baseline,
        stopped_by=stop.signal_number,
        stopped_at_failure=cut_short,
        unreachable=unreachable,
        out_of_money=plan.out_of_money,
        judge_down=panel.down_reason,
        judge_problem=panel.problem_to_fix,
        unscored_answers=len(candidate.sink.unscored),
    )


async def _run_stage(
    plan: Plan,
    candidate: tuple[Runner, RunSide],
    against: tuple[Runner | None, RunSide | None],
    stop: StopRequest,
) -> None:
    """Run the trials that each side, with its runner, has yet to run, in turns."""
    runner, side = candidate
    work: Iterable[Work] = ((runner, task) for task in _list_tasks(plan, side))
    other_runner, other = against
    if other and other_runner:
        opened = other_runner  # mypy: a generator does not keep the narrowed type
        work = interleave(((opened, task) for task in _list_tasks(plan, other)), work)
    await run_all(work, stop)


def _build_runners(
    plan: Plan, candidate: RunSide, against: RunSide | None, *, exit_first: bool
) -> tuple[Runner, Runner | None]:
    runner = Runner(
        candidate.agent or NoAgent(),
        _build_limits(plan, candidate.spec),
        candidate.sink,
        seed=plan.settings.seed,
        redactor=build_redactor(plan.evalset, plan.environment.environ),
        halted=lambda: plan.panel.down_reason or plan.agent_budget.refusal,
        exit_first=exit_first,
    )
    if against is None or against.agent is None:
        return runner, None
    limits = _build_limits(plan, against.spec)
    return runner, runner.share_limits(against.agent, limits, against.sink)


def _build_limits(plan: Plan, spec: AgentSpec) -> RunLimits:
    return RunLimits(
        concurrency=plan.settings.concurrency,
        max_in_flight=plan.max_in_flight,
        timeout_s=spec.timeout_s,
        attempts=spec.attempts,
        retry_deadline_s=plan.settings.retry_deadline_s,
    )


def _list_tasks(plan: Plan, side: RunSide) -> Iterator[TrialTask]:
    """Yield the trials that a side has yet to run; without an agent, only those that need scores."""
    for task in list_pending_trials(side.header, plan.scorers, side.sink.done, side.sink.answered):
        if side.agent is not None or task.answered is not None:
            yield task


async def _load_judge_and_gate(panel: JudgePanel, load_looks: Callable[[], object]) -> None:
    """Load the judge, then import the gate in a thread, while the agent is called."""
    await panel.warm_up()
    await asyncio.to_thread(load_looks)


def _finish_runs(
    candidate: RunSide, run: Run, against: RunSide | None, baseline: Run | None
) -> None:
    """Store the summaries that mark both runs as finished, the candidate's last."""
    from evalkit.compare.history import build_summary  # noqa: PLC0415 - loads numpy

    # The candidate's summary is last, so that a run that is killed in between can be resumed.
    if against:
        other = against.sink.writer
        other.finish(build_summary(attach_spans(against.run, other.read_spans())))
    writer = candidate.sink.writer
    if baseline is not None and baseline.is_rescored:
        store_rescored_baseline(baseline, writer)
    writer.finish(build_summary(attach_spans(run, writer.read_spans())))


async def _unify_judges(
    plan: Plan, candidate: RunSide, baseline: Run | None, stop: StopRequest
) -> tuple[RunSide, Run | None]:
    """Have the active judge replace the verdicts of other judges, so that both sides have one judge.

    If it goes down meanwhile, the next judge starts over.
    """
    active = None
    while plan.panel.has_judge and active is not plan.panel.active_judge:
        active = plan.panel.active_judge
        candidate = await _rejudge_trials(plan, candidate, stop)
        baseline = await rejudge(baseline, plan) if baseline else None
        candidate = await _compare_answers(plan, candidate, baseline, stop)
        await plan.panel.settle_checks(_list_judgements(candidate.run))
    return candidate, baseline


async def _rejudge_trials(plan: Plan, side: RunSide, stop: StopRequest) -> RunSide:
    """Judge a side's trials again where another judge did, and store them.

    After a stop, the verdicts of the other judge stay.
    """
    run = side.run
    rejudged = await rejudge(run, plan)
    if stop.requested.is_set():
        return side
    _replace_trials(side, run, rejudged)
    if rejudged.header != side.header:
        side.sink.writer.rewrite_header(rejudged.header)
    return replace(side, header=rejudged.header)


async def _compare_answers(
    plan: Plan, side: RunSide, baseline: Run | None, stop: StopRequest
) -> RunSide:
    """Compare a side's answers with the baseline's, for pairwise metrics, and store the scores."""
    run = side.run
    compared = await compare_answers(run, baseline, plan)
    if not stop.requested.is_set():
        _replace_trials(side, run, compared)
    return side


def _replace_trials(side: RunSide, before: Run, now: Run) -> None:
    """Store the trials of a side that have other scores now."""
    known = {(trial.case_id, trial.number): trial for trial in (*before.trials, *before.fresh)}
    for trial in (*now.trials, *now.fresh):
        if trial is not known[trial.case_id, trial.number]:
            side.sink.replace(trial)


async def _store_trust(
    panel: JudgePanel, run: Run, sink: TrialSink, stop: StopRequest
) -> JudgeTrust | None:
    """Wait for the last control answers of the judges, and store what they show.

    After a stop, or if no judge answers any more, store nothing: the controls that are missing say nothing
    about a judge.
    """
    trust = await stop.finish_in_time(panel.finish(_list_judgements(run)))
    if trust is None or not trust.judges or stop.requested.is_set() or panel.down_reason:
        return None
    sink.writer.write_trust(trust)
    return trust


def _list_judgements(run: Run) -> list[Judgement]:
    scores = (score for trial in (*run.trials, *run.fresh) for score in trial.scores)
    return [score.judgement for score in scores if score.judgement is not None]
