"""`evalkit review`: a person's levels for some answers of a run, asked in the terminal or in a spreadsheet."""

from __future__ import annotations

import os
import shlex
from bisect import bisect_left
from dataclasses import dataclass
from pathlib import Path

from evalkit.commands.review.answers import JudgedAnswer, find_answers
from evalkit.commands.review.labels_file import LabelsFile, count_drawn, mark_drawn
from evalkit.commands.review.open_review import choose_metric, open_review
from evalkit.commands.review.sampling import SampledAnswer, sample_answers, shuffle_answers
from evalkit.commands.review.session import ReviewSession, collect_labels, start_session
from evalkit.commands.review.worksheet import read_worksheet, render_worksheet
from evalkit.core.context import Context
from evalkit.core.errors import EvalkitError, InvalidInput
from evalkit.core.files import write_atomically
from evalkit.core.labels import HumanLabel, labels_path
from evalkit.core.project import read_git_user
from evalkit.core.run import Run
from evalkit.core.source_files import display_path
from evalkit.evalset.fields import find_label_problem
from evalkit.evalset.project import Project
from evalkit.report.next_steps import CommandHints
from evalkit.report.review import ReviewSummary
from evalkit.stats.ppi import MIN_LABELS
from evalkit.store.baseline import baseline_path
from evalkit.store.refs import BaselineChoice, read_baseline_for, resolve_run

DEFAULT_SAMPLE = 30


@dataclass(frozen=True, kw_only=True, slots=True)
class ReviewRequest:
    """What is to be reviewed: a run, one judged metric of it, how many answers, by whom, kept where."""

    ref: str
    metric: str | None = None
    sample: int = DEFAULT_SAMPLE
    seed: int = 0
    rater: str | None = None
    out: Path | None = None

    def format_command(self, run: str, sample: int) -> str:
        """The command that asks for so many answers of a run and for the rest as this wish does."""
        words = ["evalkit", "review", run]
        for option, value in (
            ("--metric", self.metric),
            ("--sample", sample if sample != DEFAULT_SAMPLE else None),
            ("--seed", self.seed or None),
            ("--rater", self.rater),
            ("--out", self.out),
        ):
            words += [option, shlex.quote(str(value))] if value is not None else []
        return " ".join(words)


@dataclass(frozen=True, kw_only=True, slots=True)
class Review:
    """A review ready to be held: the answers of a run, those picked, and what is undecided of them."""

    request: ReviewRequest
    run: Run
    rater: str
    answers: tuple[JudgedAnswer, ...]
    picked: tuple[SampledAnswer, ...]
    session: ReviewSession
    marked: tuple[HumanLabel, ...]
    file: LabelsFile
    hints: CommandHints

    def save(self, sitting: ReviewSession) -> None:
        """Save what was decided in a sitting so far.

        Raises:
            InvalidInput, StoreError: the labels file is broken now, or cannot be written.
        """
        given = collect_labels(sitting, self.rater, self.run.header.id)
        self.file.replace_own((*self.marked, *given))

    def format_import_command(self, path: Path) -> str:
        """The command that takes a worksheet in."""
        return f"{self.format_command(self.request.sample)} --csv-in {shlex.quote(str(path))}"

    @property
    def name(self) -> str:
        """The run as a word of a command; a baseline may be of a run that is not stored here."""
        is_run = Path(self.run.path).suffix != ".jsonl"
        return self.hints.name_run(self.run) if is_run else shlex.quote(self.request.ref)

    def format_command(self, sample: int) -> str:
        """The command that reviews so many answers of this run."""
        return self.request.format_command(self.name, sample)

    @property
    def remaining_levels(self) -> int:
        """The levels that were asked for and are not given."""
        sitting = start_session(self.picked, self.file.read(), self.rater)
        return sum(len(item.criteria) for item in sitting.items)

    def summarize(self, given: int) -> ReviewSummary:
        """What there is when so many levels were given, and what it is good for."""
        rubric = self.answers[0].rubric
        labels = [label for label in self.file.read() if label.rubric == rubric.name]
        runs = {self.run.header.id, self.run.header.scored_from}
        drawn = count_drawn(self.answers, labels, runs)
        return ReviewSummary(
            run=self.run.header.id,
            rubric=rubric.name,
            rater=self.rater,
            file=display_path(self.file.path),
            new_labels=given,
            labels=len(labels),
            raters=len({label.rater for label in labels}),
            open_decisions=self.remaining_levels,
            sampled_cases=drawn,
            needed_cases=MIN_LABELS,
            scored_cases=len(
                {answer.case for answer in shuffle_answers(self.answers, self.request.seed)}
            ),
            resume_command=self.format_command(self.request.sample)
            if self.remaining_levels
            else "",
            sample_command=self._format_draw_more_command(drawn),
            calibrate_command=self._format_calibrate_command() if labels else "",
            # The mean is corrected by the labels in their usual place only.
            show_command=f"evalkit show {self.name}"
            if drawn >= MIN_LABELS and self.request.out is None
            else "",
        )

    def _format_draw_more_command(self, drawn: int) -> str:
        """The command that asks for enough answers drawn by lot; empty where this one does, or none can."""
        enough = MIN_LABELS

        def draws_enough(size: int) -> bool:
            picked = sample_answers(self.answers, size, self.request.seed)
            return sum(each.is_drawn for each in picked) >= enough

        # Half of a sample is drawn, so that twice as many answers are always enough.
        sizes = range(self.request.sample, max(2 * enough, self.request.sample) + 1)
        if drawn >= enough or draws_enough(sizes[0]) or not draws_enough(sizes[-1]):
            return ""
        return self.format_command(sizes[bisect_left(sizes, True, key=draws_enough)])

    def _format_calibrate_command(self) -> str:
        rubric = self.answers[0].rubric.path
        files = (os.path.relpath(path, self.hints.cwd) for path in (rubric, self.file.path))
        return f"evalkit calibrate {' '.join(map(shlex.quote, files))}" if rubric else ""


def prepare_review(wish: ReviewRequest, world: Context) -> Review:
    """Pick what is to be looked at, and find what this person has decided of it before.

    Raises:
        InvalidInput: no such run or metric, nothing to review, or the rubric is not the one it was
            judged by.
        StoreError, ApprovalNeeded: the run cannot be read.
    """
    project = Project.open(world)
    root = project.root
    run = resolve_run(wish.ref, root=root, cwd=world.cwd)
    info = choose_metric(run, wish.metric)
    rater = find_rater(wish.rater, root, world)
    scorers = open_review(run, info, project)
    baseline = _read_baseline(run, root, world)
    answers = find_answers(run, info.name, scorers, baseline)
    if not answers:
        raise InvalidInput.single(
            f"run {run.header.id} has no answer to review under {info.name!r}. Run the set again."
        )
    picked = sample_answers(answers, wish.sample, wish.seed)
    rubrics = {answer.rubric.digest: answer.rubric for answer in answers if answer.rubric.path}
    file = LabelsFile(_choose_file(wish, run, root, world), tuple(rubrics.values()))
    labels = file.read()
    marked = mark_drawn(picked, labels, run.header.id)
    return Review(
        request=wish,
        run=run,
        rater=rater,
        answers=answers,
        picked=picked,
        session=start_session(picked, labels, rater),
        marked=tuple(label for label in marked if label not in labels),
        file=file,
        hints=CommandHints(root=root, cwd=world.cwd),
    )


def import_worksheet(review: Review, path: Path) -> ReviewSummary:
    """Enter what was decided in a spreadsheet, and sum up.

    Raises:
        InvalidInput: every problem with the worksheet; nothing of it is taken then.
    """
    labels, problems = read_worksheet(path, review.answers, review.rater)
    if problems:
        raise InvalidInput(problems)
    there = review.file.read()
    review.file.replace_own((*review.marked, *labels))
    return review.summarize(sum(label not in there for label in labels))


def export_worksheet(review: Review, path: Path) -> int:
    """Write what is undecided as a worksheet; returns how many rows it has.

    Raises:
        StoreError: it could not be written.
    """
    items = review.session.items
    write_atomically(path, render_worksheet(items, review.rater, review.run.header.id))
    return sum(len(item.criteria) for item in items)


def find_rater(named: str | None, root: Path, world: Context) -> str:
    """Who reviews: as named, else as git knows them, else as the system does.

    Raises:
        InvalidInput: nobody knows, or the name cannot stand in a file.
    """
    found = (named, read_git_user(root, world.environ), world.environ.get("USER"))
    rater = next((name for name in found if name is not None and name != ""), "")
    if problem := find_label_problem(rater):
        raise InvalidInput.single(f"the rater's name {problem} Add --rater NAME.")
    return rater


def _choose_file(wish: ReviewRequest, run: Run, root: Path, world: Context) -> Path:
    if wish.out is not None:
        return world.cwd / wish.out
    return labels_path(root / run.header.evalset_path, run.header.evalset)


def _read_baseline(run: Run, root: Path, world: Context) -> Run | None:
    """What new failures are told by; a baseline that cannot be read keeps nobody from reviewing."""
    try:
        own = baseline_path(root / run.header.evalset_path, run.header.evalset)
        baseline = read_baseline_for(run, BaselineChoice(), own, root=root, cwd=world.cwd)
    except EvalkitError as error:
        world.say(f"evalkit: new failures are not told: {error}")
        return None
    return baseline if baseline is None or baseline.header.id != run.header.id else None
