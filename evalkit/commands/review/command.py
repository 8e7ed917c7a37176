"""Prepare `evalkit review`: a person labels some answers of a run, in the terminal or a spreadsheet."""

from __future__ import annotations

import os
import shlex
from bisect import bisect_left
from dataclasses import dataclass
from pathlib import Path

from evalkit.commands.review.labels_file import LabelsFile, count_drawn, mark_drawn
from evalkit.commands.review.open_review import choose_metric, open_review
from evalkit.commands.review.reasons import find_answers
from evalkit.commands.review.records import JudgedAnswer, ReviewSession
from evalkit.commands.review.sampling import sample_answers
from evalkit.commands.review.session import collect_labels, start_session
from evalkit.commands.review.worksheet import read_worksheet, render_worksheet
from evalkit.commands.suspect_labels import find_suspect_ids
from evalkit.core.context import Context
from evalkit.core.errors import EvalkitError, InvalidInput
from evalkit.core.files import write_atomically
from evalkit.core.labels import MIN_LABELS, HumanLabel, labels_path
from evalkit.core.project import read_git_user
from evalkit.core.run import Run
from evalkit.core.source_files import display_path
from evalkit.evalset.fields import find_label_problem
from evalkit.evalset.project import Project
from evalkit.report.next_steps import CommandHints
from evalkit.report.review import ReviewSummary
from evalkit.store.baseline import baseline_path
from evalkit.store.refs import BaselineChoice, read_baseline_for, resolve_run

DEFAULT_SAMPLE = 30


@dataclass(frozen=True, kw_only=True, slots=True)
class ReviewRequest:
    """The run to review, one judged metric of it, the number of answers, the rater and the labels file."""

    ref: str
    metric: str | None = None
    sample: int = DEFAULT_SAMPLE
    seed: int = 0
    rater: str | None = None
    out: Path | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Review:
    """A prepared review: the answers of a run, those picked, and the session over their open criteria.

    `marked` are labels already in the file to which this run is added as one that drew their answers.
    """

    request: ReviewRequest
    run: Run
    rater: str
    answers: tuple[JudgedAnswer, ...]
    picked: tuple[JudgedAnswer, ...]
    session: ReviewSession
    marked: tuple[HumanLabel, ...]
    file: LabelsFile
    hints: CommandHints

    def save(self, session: ReviewSession) -> None:
        """Save the decisions of a session so far.

        Raises:
            InvalidInput, StoreError: the labels file has become invalid, or cannot be written.
        """
        labels = collect_labels(session, self.rater, self.run.header.id)
        self.file.replace_own((*self.marked, *labels))

    def format_import_command(self, path: Path) -> str:
        """Return the command that reads a worksheet back."""
        return f"{self._format_command(self.request.sample)} --csv-in {shlex.quote(str(path))}"

    def summarize(self, new_labels: int) -> ReviewSummary:
        """Return the totals after a review that added `new_labels`, and the commands to run next."""
        rubric, present = self.answers[0].rubric, self.file.read()
        labels = [label for label in present if label.rubric == rubric.name]
        runs = {self.run.header.id, self.run.header.scored_from}
        drawn = count_drawn(self.answers, labels, runs)
        undecided = start_session(self.picked, present, self.rater).items
        # The report corrects the mean by the labels in their default file only.
        shows_mean = drawn >= MIN_LABELS and self.request.out is None
        return ReviewSummary(
            run=self.run.header.id,
            rubric=rubric.name,
            rater=self.rater,
            file=display_path(self.file.path),
            new_labels=new_labels,
            labels=len(labels),
            raters=len({label.rater for label in labels}),
            open_decisions=sum(len(item.criteria) for item in undecided),
            sampled_cases=drawn,
            needed_cases=MIN_LABELS,
            scored_cases=len(
                {answer.case for answer in self.answers if answer.score.state == "scored"}
            ),
            resume_command=self._format_command(self.request.sample) if undecided else "",
            sample_command=self._format_draw_more_command(drawn),
            calibrate_command=self._format_calibrate_command() if labels else "",
            show_command=f"evalkit show {self._run_argument}" if shows_mean else "",
        )

    @property
    def _run_argument(self) -> str:
        # A baseline may belong to a run that is not stored here, so it is named as the user did.
        is_baseline = Path(self.run.path).suffix == ".jsonl"
        return shlex.quote(self.request.ref) if is_baseline else self.hints.name_run(self.run)

    def _format_command(self, sample: int) -> str:
        """Return the command of this review for another number of answers."""
        options = {
            "--metric": self.request.metric,
            "--sample": sample if sample != DEFAULT_SAMPLE else None,
            "--seed": self.request.seed or None,
            "--rater": self.request.rater,
            "--out": self.request.out,
        }
        words = [
            f"{option} {shlex.quote(str(value))}"
            for option, value in options.items()
            if value is not None
        ]
        return " ".join(["evalkit review", self._run_argument, *words])

    def _format_draw_more_command(self, drawn: int) -> str:
        """Return the command whose sample has enough drawn answers.

        It is empty if the present sample has enough, or if the run has too few scored cases.
        """

        def draws_enough(size: int) -> bool:
            picked = sample_answers(self.answers, size, self.request.seed)
            return sum(each.is_drawn for each in picked) >= MIN_LABELS

        # Half of a sample is drawn, so twice as many answers are always enough.
        sizes = range(self.request.sample, max(2 * MIN_LABELS, self.request.sample) + 1)
        if drawn >= MIN_LABELS or draws_enough(sizes[0]) or not draws_enough(sizes[-1]):
            return ""
        return self._format_command(sizes[bisect_left(sizes, True, key=draws_enough)])

    def _format_calibrate_command(self) -> str:
        rubric = self.answers[0].rubric.path
        files = (os.path.relpath(path, self.hints.cwd) for path in (rubric, self.file.path))
        return f"evalkit calibrate {' '.join(map(shlex.quote, files))}" if rubric else ""


def prepare_review(request: ReviewRequest, context: Context) -> Review:
    """Pick the answers to label, and find what this person has labeled before.

    Raises:
        InvalidInput: the run or the metric does not exist, there is nothing to review, or the rubric has
            changed since the run was judged.
        StoreError, ApprovalNeeded: the run cannot be read.
    """
    project = Project.open(context)
    root = project.root
    run = resolve_run(request.ref, root=root, cwd=context.cwd)
    info = choose_metric(run, request.metric)
    rater = find_rater(request.rater, root, context)
    scorers = open_review(run, info, project)
    baseline, suspects = _read_baseline(run, root, context), find_suspect_ids(run, project)
    answers = find_answers(run, info.name, scorers, baseline, suspects)
    if not answers:
        raise InvalidInput.single(
            f"run {run.header.id} has no answer to review under {info.name!r}. Run the set again."
        )
    picked = sample_answers(answers, request.sample, request.seed)
    rubrics = {answer.rubric.digest: answer.rubric for answer in answers if answer.rubric.path}
    path = labels_path(root / run.header.evalset_path, run.header.evalset)
    file = LabelsFile(context.cwd / (request.out or path), tuple(rubrics.values()))
    labels = file.read()
    # Labels of earlier reviews count for this run too, if its sample drew the same answers.
    marked = mark_drawn(picked, labels, run.header.id)
    return Review(
        request=request,
        run=run,
        rater=rater,
        answers=answers,
        picked=picked,
        session=start_session(picked, labels, rater),
        marked=tuple(label for label in marked if label not in labels),
        file=file,
        hints=CommandHints(root=root, cwd=context.cwd),
    )


def import_worksheet(review: Review, path: Path) -> ReviewSummary:
    """Save the labels of a worksheet, and return the totals.

    Raises:
        InvalidInput: all problems of the worksheet; nothing is saved then.
    """
    labels, problems = read_worksheet(path, review.answers, review.rater)
    if problems:
        raise InvalidInput(problems)
    present = review.file.read()
    review.file.replace_own((*review.marked, *labels))
    return review.summarize(sum(label not in present for label in labels))


def export_worksheet(review: Review, path: Path) -> int:
    """Write the open decisions as a worksheet, and return its number of rows.

    Raises:
        StoreError: the file cannot be written.
    """
    items = review.session.items
    write_atomically(path, render_worksheet(items, review.rater, review.run.header.id))
    return sum(len(item.criteria) for item in items)


def find_rater(named: str | None, root: Path, context: Context) -> str:
    """Return the rater's name: the one given, else git's user.name, else the system's user.

    Raises:
        InvalidInput: there is no name, or a labels file cannot hold it.
    """
    found = (named, read_git_user(root, context.environ), context.environ.get("USER"))
    rater = next((name for name in found if name), "")
    if problem := find_label_problem(rater):
        raise InvalidInput.single(f"the rater's name {problem} Add --rater NAME.")
    return rater


def _read_baseline(run: Run, root: Path, context: Context) -> Run | None:
    """Return the baseline that new failures are found with; a review works without one."""
    try:
        own = baseline_path(root / run.header.evalset_path, run.header.evalset)
        baseline = read_baseline_for(run, BaselineChoice(), own, root=root, cwd=context.cwd)
    except EvalkitError as error:
        context.say(f"evalkit: cannot find the answers that fail newly: {error}")
        return None
    return baseline if baseline is None or baseline.header.id != run.header.id else None
