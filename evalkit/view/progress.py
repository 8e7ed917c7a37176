"""Follow a run under way: how far it is, what it cost, how long it takes, and its worst cases so far."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple, TypeAlias

from evalkit.core.errors import StoreError
from evalkit.core.file_marks import FileMark, mark_file
from evalkit.core.run import Run, RunHeader
from evalkit.store.costs import load_costs
from evalkit.store.runs import HEADER_FILE, TRIALS_FILE, read_header
from evalkit.view.time_left import TimeLeft, estimate_time_left
from evalkit.view.trial_journal import DoneTrial, TrialJournal

CaseProgress: TypeAlias = Literal["waiting", "passes", "fails", "fails_as_before", "error"]

MAX_WORST = 5


class Passes(NamedTuple):
    """How many of the scored trials of a case passed."""

    passed: int
    trials: int

    @property
    def passes(self) -> bool:
        """Whether more than half of the trials passed."""
        return 2 * self.passed > self.trials


class WorstCase(NamedTuple):
    """A case that fails so far; `before` is None if the baseline does not have it."""

    case_id: str
    before: Passes | None
    now: Passes
    is_new: bool
    problem: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Progress:
    """The state of an unfinished run.

    `planned` trials are those of the stages so far, and `most` those that further looks could add.
    `left` is None if the time is unknown. `cases` has the state of every case in the order of the set.
    """

    header: RunHeader
    planned: int
    most: int
    done: int
    passed: int
    failed: int
    errors: int
    cost_usd: float | None
    elapsed_s: float | None
    left: TimeLeft | None
    left_most: TimeLeft | None
    cases: tuple[CaseProgress, ...] = ()
    worst: tuple[WorstCase, ...] = ()

    @property
    def cost_limit_usd(self) -> float | None:
        """What the calls of the run may cost together; None without a limit."""
        limit = self.header.settings.get("max_cost_usd")
        return limit if isinstance(limit, float | int) else None


BaselineCounter: TypeAlias = Callable[[RunHeader], Mapping[str, Passes]]
"""Returns the passes of each case in the baseline that a run will be compared with."""


class RunFollower:
    """Reads one unfinished run again and again, each time only what is new. The baseline is read once."""

    def __init__(self, folder: Path, count_baseline: BaselineCounter) -> None:
        self._folder = folder
        self._count_baseline = count_baseline
        self._baseline: Mapping[str, Passes] | None = None
        self._header: RunHeader | None = None
        self._mark: FileMark | None = None
        self._journal = TrialJournal(folder / TRIALS_FILE)

    def read(self, now_s: float) -> Progress:
        """Return the state of the run now; `now_s` is the time in seconds since 1970.

        Raises:
            StoreError: the run cannot be read.
        """
        mark = mark_file(self._folder / HEADER_FILE)
        if self._header is None or mark != self._mark:
            self._header, self._mark = read_header(self._folder), mark
        if self._baseline is None:
            self._baseline = self._count_baseline(self._header)
        self._journal.update(now_s)
        started = _read_start(self._folder)
        header, trials = self._header, self._journal.trials
        planned = sum(header.planned_trials().values()) + sum(header.fresh.values())
        most = max(planned, len(header.cases) * header.looks)
        done = len(trials)
        finished = [each.finished_s for each in trials.values() if each.finished_s is not None]
        longest_s = max((each.took_s for each in trials.values()), default=0.0)
        cases, worst = _describe_cases(header, trials, self._baseline)

        def left(total: int) -> TimeLeft | None:
            return estimate_time_left(finished, now_s, total - done, longest_s)

        return Progress(
            header=header,
            planned=planned,
            most=most,
            done=done,
            passed=sum(each.passed for each in trials.values()),
            failed=sum(each.state == "scored" and not each.passed for each in trials.values()),
            errors=sum(each.state not in ("scored", "skipped") for each in trials.values()),
            cost_usd=_read_cost(self._folder, trials),
            elapsed_s=None if started is None else max(0.0, now_s - started),
            left=left(planned),
            left_most=left(most) if most > planned else None,
            cases=cases,
            worst=worst,
        )


def count_baseline_passes(baseline: Run | None, header: RunHeader) -> dict[str, Passes]:
    """Return the passes of each case in a baseline, by the metrics that both runs define alike."""
    if baseline is None:
        return {}
    defined = {info.name: info.definition for info in baseline.header.metrics}
    shared = [info.name for info in header.metrics if defined.get(info.name) == info.definition]
    digests = {case.id: case.digest for case in header.cases}
    same = {case.id for case in baseline.header.cases if digests.get(case.id) == case.digest}
    counts: dict[str, Passes] = {}
    for trial in baseline.trials:
        if trial.case_id in same and trial.state == "scored" and shared:
            passed, trials = counts.get(trial.case_id, Passes(0, 0))
            counts[trial.case_id] = Passes(passed + (not trial.fails(shared)), trials + 1)
    return counts


def _read_start(folder: Path) -> float | None:
    """Return when the run was started, in seconds since 1970: the time of its header."""
    try:
        return (folder / HEADER_FILE).stat().st_mtime
    except OSError:
        return None


def _read_cost(folder: Path, trials: Mapping[tuple[str, int], DoneTrial]) -> float | None:
    """Return what all paid calls cost so far, in USD; None if nothing reports a cost."""
    try:
        paid = [usd for _, usd in load_costs(folder)]
    except StoreError:
        paid = []  # the run itself reports it
    paid = paid or [each.cost_usd for each in trials.values() if each.cost_usd is not None]
    return sum(paid) if paid else None


def _describe_cases(
    header: RunHeader,
    trials: Mapping[tuple[str, int], DoneTrial],
    baseline: Mapping[str, Passes],
) -> tuple[tuple[CaseProgress, ...], tuple[WorstCase, ...]]:
    by_case: dict[str, list[DoneTrial]] = {}
    for trial in trials.values():
        by_case.setdefault(trial.case_id, []).append(trial)
    states: list[CaseProgress] = []
    failing: list[WorstCase] = []
    for case in header.cases:
        own = by_case.get(case.id, [])
        state, worst = _describe_case(case.id, own, baseline.get(case.id))
        states.append(state)
        if worst is not None:
            failing.append(worst)
    failing.sort(key=_badness)
    return tuple(states), tuple(failing[:MAX_WORST])


def _describe_case(
    case_id: str, own: Sequence[DoneTrial], before: Passes | None
) -> tuple[CaseProgress, WorstCase | None]:
    scored = [trial for trial in own if trial.state == "scored"]
    now = Passes(sum(trial.passed for trial in scored), len(scored))
    problem = next((t.state for t in own if t.state not in ("scored", "skipped")), "")
    if problem:
        return "error", WorstCase(case_id, before, now, True, problem.replace("_", " "))
    if not scored:
        return ("passes" if own else "waiting"), None
    if now.passes:
        return "passes", None
    is_new = before is None or before.passes
    return ("fails" if is_new else "fails_as_before"), WorstCase(case_id, before, now, is_new)


def _badness(case: WorstCase) -> tuple[bool, bool, float]:
    """Return a key that sorts cases that passed before first, by how much they dropped."""
    before = case.before.passed / case.before.trials if case.before and case.before.trials else 0.0
    now = case.now.passed / case.now.trials if case.now.trials else 0.0
    return not case.is_new, bool(case.problem), now - before
