"""`evalkit review`: a person's levels for some answers of a run, asked in the terminal or in a spreadsheet."""

from __future__ import annotations

import os
import shlex
from bisect import bisect_left
from dataclasses import dataclass
from pathlib import Path

from evalkit.baseline import baseline_path
from evalkit.errors import EvalkitError, InvalidInput
from evalkit.files import write_whole
from evalkit.hints import Place
from evalkit.labels import HumanLabel, labels_path
from evalkit.loading.reading import label_problem
from evalkit.project import find_root, read_git_user
from evalkit.records import Run
from evalkit.refs import BaselineChoice, read_baseline_of, resolve_run
from evalkit.reports.review import Reviewed
from evalkit.reviewing.answers import Answer, find_answers
from evalkit.reviewing.keeping import LabelsFile, count_drawn, mark_drawn
from evalkit.reviewing.opening import choose_metric, open_reviewed
from evalkit.reviewing.sampling import Picked, draw_order, pick_answers
from evalkit.reviewing.sitting import Sitting, begin, labels_given
from evalkit.reviewing.worksheet import read_worksheet, write_worksheet
from evalkit.sources import shown_path
from evalkit.statistics.ppi import FEWEST_LABELS
from evalkit.world import World

SAMPLE = 30


@dataclass(frozen=True, kw_only=True, slots=True)
class Wish:
    """What is to be reviewed: a run, one judged metric of it, how many answers, by whom, kept where."""

    ref: str
    metric: str | None = None
    sample: int = SAMPLE
    seed: int = 0
    rater: str | None = None
    out: Path | None = None

    def spell(self, run: str, sample: int) -> str:
        """The command that asks for so many answers of a run and for the rest as this wish does."""
        words = ["evalkit", "review", run]
        for option, value in (
            ("--metric", self.metric),
            ("--sample", sample if sample != SAMPLE else None),
            ("--seed", self.seed or None),
            ("--rater", self.rater),
            ("--out", self.out),
        ):
            words += [option, shlex.quote(str(value))] if value is not None else []
        return " ".join(words)


@dataclass(frozen=True, kw_only=True, slots=True)
class Review:
    """A review ready to be held: the answers of a run, those picked, and what is undecided of them."""

    wish: Wish
    run: Run
    rater: str
    answers: tuple[Answer, ...]
    picked: tuple[Picked, ...]
    sitting: Sitting
    marked: tuple[HumanLabel, ...]
    file: LabelsFile
    place: Place

    def keep(self, sitting: Sitting) -> None:
        """Save what was decided in a sitting so far.

        Raises:
            InvalidInput, StoreError: the labels file is broken now, or cannot be written.
        """
        given = labels_given(sitting, self.rater, self.run.header.id)
        self.file.enter((*self.marked, *given))

    def take_in(self, path: Path) -> str:
        """The command that takes a worksheet in."""
        return f"{self.spell(self.wish.sample)} --csv-in {shlex.quote(str(path))}"

    @property
    def name(self) -> str:
        """The run as a word of a command; a baseline may be of a run that is not stored here."""
        is_run = Path(self.run.path).suffix != ".jsonl"
        return self.place.name_run(self.run) if is_run else shlex.quote(self.wish.ref)

    def spell(self, sample: int) -> str:
        """The command that reviews so many answers of this run."""
        return self.wish.spell(self.name, sample)

    @property
    def left(self) -> int:
        """The levels that were asked for and are not given."""
        sitting = begin(self.picked, self.file.read(), self.rater)
        return sum(len(item.criteria) for item in sitting.items)

    def sum_up(self, given: int) -> Reviewed:
        """What there is when so many levels were given, and what it is good for."""
        rubric = self.answers[0].rubric
        labels = [label for label in self.file.read() if label.rubric == rubric.name]
        runs = {self.run.header.id, self.run.header.scored_from}
        drawn = count_drawn(self.answers, labels, runs)
        return Reviewed(
            run=self.run.header.id,
            rubric=rubric.name,
            rater=self.rater,
            file=shown_path(self.file.path),
            given=given,
            labels=len(labels),
            raters=len({label.rater for label in labels}),
            left=self.left,
            drawn=drawn,
            wanted=FEWEST_LABELS,
            cases=len({answer.case for answer in draw_order(self.answers, self.wish.seed)}),
            go_on=self.spell(self.wish.sample) if self.left else "",
            draw_more=self._draw_more(drawn),
            calibrate=self._calibrate() if labels else "",
            # The mean is corrected by the labels in their usual place only.
            show=f"evalkit show {self.name}"
            if drawn >= FEWEST_LABELS and self.wish.out is None
            else "",
        )

    def _draw_more(self, drawn: int) -> str:
        """The command that asks for enough answers drawn by lot; empty where this one does, or none can."""
        enough = FEWEST_LABELS

        def draws_enough(size: int) -> bool:
            picked = pick_answers(self.answers, size, self.wish.seed)
            return sum(each.is_drawn for each in picked) >= enough

        # Half of a sample is drawn, so that twice as many answers are always enough.
        sizes = range(self.wish.sample, max(2 * enough, self.wish.sample) + 1)
        if drawn >= enough or draws_enough(sizes[0]) or not draws_enough(sizes[-1]):
            return ""
        return self.spell(sizes[bisect_left(sizes, True, key=draws_enough)])

    def _calibrate(self) -> str:
        rubric = self.answers[0].rubric.path
        files = (os.path.relpath(path, self.place.cwd) for path in (rubric, self.file.path))
        return f"evalkit calibrate {' '.join(map(shlex.quote, files))}" if rubric else ""


def prepare(wish: Wish, world: World) -> Review:
    """Pick what is to be looked at, and find what this person has decided of it before.

    Raises:
        InvalidInput: no such run or metric, nothing to review, or the rubric is not the one it was
            judged by.
        StoreError, ApprovalNeeded: the run cannot be read.
    """
    root = find_root(world.cwd, world.cwd)
    run = resolve_run(wish.ref, root=root, cwd=world.cwd)
    info = choose_metric(run, wish.metric)
    rater = find_rater(wish.rater, root, world)
    scorers = open_reviewed(run, info, root, world.environ)
    baseline = _read_baseline(run, root, world)
    answers = find_answers(run, info.name, scorers, baseline)
    if not answers:
        raise InvalidInput.single(
            f"run {run.header.id} has no answer to review under {info.name!r}. Run the set again."
        )
    picked = pick_answers(answers, wish.sample, wish.seed)
    rubrics = {answer.rubric.digest: answer.rubric for answer in answers if answer.rubric.path}
    file = LabelsFile(_choose_file(wish, run, root, world), tuple(rubrics.values()))
    labels = file.read()
    marked = mark_drawn(picked, labels, run.header.id)
    return Review(
        wish=wish,
        run=run,
        rater=rater,
        answers=answers,
        picked=picked,
        sitting=begin(picked, labels, rater),
        marked=tuple(label for label in marked if label not in labels),
        file=file,
        place=Place(root=root, cwd=world.cwd),
    )


def fill_in(review: Review, path: Path) -> Reviewed:
    """Enter what was decided in a spreadsheet, and sum up.

    Raises:
        InvalidInput: every problem with the worksheet; nothing of it is taken then.
    """
    labels, problems = read_worksheet(path, review.answers, review.rater)
    if problems:
        raise InvalidInput(problems)
    there = review.file.read()
    review.file.enter((*review.marked, *labels))
    return review.sum_up(sum(label not in there for label in labels))


def hand_out(review: Review, path: Path) -> int:
    """Write what is undecided as a worksheet; returns how many rows it has.

    Raises:
        StoreError: it could not be written.
    """
    items = review.sitting.items
    write_whole(path, write_worksheet(items, review.rater, review.run.header.id))
    return sum(len(item.criteria) for item in items)


def find_rater(named: str | None, root: Path, world: World) -> str:
    """Who reviews: as named, else as git knows them, else as the system does.

    Raises:
        InvalidInput: nobody knows, or the name cannot stand in a file.
    """
    found = (named, read_git_user(root, world.environ), world.environ.get("USER"))
    rater = next((name for name in found if name is not None and name != ""), "")
    if problem := label_problem(rater):
        raise InvalidInput.single(f"the rater's name {problem} Add --rater NAME.")
    return rater


def _choose_file(wish: Wish, run: Run, root: Path, world: World) -> Path:
    if wish.out is not None:
        return world.cwd / wish.out
    return labels_path(root / run.header.evalset_path, run.header.evalset)


def _read_baseline(run: Run, root: Path, world: World) -> Run | None:
    """What new failures are told by; a baseline that cannot be read keeps nobody from reviewing."""
    try:
        own = baseline_path(root / run.header.evalset_path, run.header.evalset)
        baseline = read_baseline_of(run, BaselineChoice(), own, root=root, cwd=world.cwd)
    except EvalkitError as error:
        world.say(f"evalkit: new failures are not told: {error}")
        return None
    return baseline if baseline is None or baseline.header.id != run.header.id else None
