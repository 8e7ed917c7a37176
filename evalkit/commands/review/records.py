"""The records of a review: the answers to label, the decisions of a person, and the session."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from evalkit.core.labels import HumanLabel
from evalkit.core.rubric import Criterion, Level, Rubric
from evalkit.core.serialization import digest
from evalkit.core.trial import Score
from evalkit.judge.judge import JudgeRequest

ReviewReason: TypeAlias = Literal["suspect_label", "new_failure", "unsure", "near_mark"]

REVIEW_REASONS: dict[ReviewReason, str] = {
    "suspect_label": "the label of its case is probably wrong",
    "new_failure": "passed in the baseline, fails now",
    "unsure": "the judge was unsure",
    "near_mark": "its score is near the pass mark",
}
"""The reasons why an answer deserves a label, the strongest first, in words for the screen."""

SessionEnd: TypeAlias = Literal["", "done", "quit", "interrupted", "stopped"]
"""How a session ended: not yet, after the last answer, by q, by ^C, by a signal."""


@dataclass(frozen=True, kw_only=True, slots=True)
class JudgedAnswer:
    """One answer that a rubric was applied to; several trials of the case may have given it.

    `question` is what the judge was asked about it; `score` belongs to the first of the `trials`.
    `is_drawn` if a sample drew it at random, whatever other reasons it has.
    """

    case: str
    trials: tuple[int, ...]
    question: JudgeRequest
    score: Score
    rubric: Rubric
    reasons: tuple[ReviewReason, ...] = ()
    is_drawn: bool = False

    @property
    def item_digest(self) -> str:
        """The digest of the answer and what it answers, equal to `HumanLabel.answer_id`."""
        asked = self.question
        return digest([asked.answer, asked.input, asked.reference, asked.context])


@dataclass(frozen=True, kw_only=True, slots=True)
class ReviewItem:
    """An answer, and the criteria that this person has not labeled yet."""

    answer: JudgedAnswer
    criteria: tuple[Criterion, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Decision:
    """The level that a person gave; `item` is an index into the items of the session."""

    item: int
    criterion: str
    level: str
    note: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class SessionState:
    """The part of a session that undo restores; `note` is for the next decision."""

    index: int = 0
    decisions: tuple[Decision, ...] = ()
    note: str = ""
    skipped: tuple[int, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Frame:
    """The lines of a screen, the lines that a page scrolls by, and the largest scroll position."""

    lines: tuple[str, ...] = ()
    page_lines: int = 10
    max_scroll: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class ReviewSession:
    """A review in progress. `draft` is the note that is being typed, None if there is none."""

    items: tuple[ReviewItem, ...]
    state: SessionState = SessionState()
    undo_states: tuple[SessionState, ...] = ()
    draft: str | None = None
    scroll: int = 0
    is_expanded: bool = False
    is_verdict_shown: bool = False
    is_help_open: bool = False
    message: str = ""
    ended: SessionEnd = ""

    @property
    def item(self) -> ReviewItem | None:
        """The current item; None after the last one."""
        return self.items[self.state.index] if self.state.index < len(self.items) else None

    @property
    def item_decisions(self) -> tuple[Decision, ...]:
        """The decisions on the current item."""
        return tuple(each for each in self.state.decisions if each.item == self.state.index)

    @property
    def criterion(self) -> Criterion | None:
        """The criterion to decide next; None when the item is complete."""
        item, decided = self.item, len(self.item_decisions)
        return item.criteria[decided] if item and decided < len(item.criteria) else None


def levels_by_key(criterion: Criterion) -> dict[str, Level]:
    """Return the levels by their number key; the tenth is on 0."""
    return {str(number % 10): level for number, level in enumerate(criterion.levels, start=1)}


def make_label(answer: JudgedAnswer, criterion: str, level: str, rater: str) -> HumanLabel:
    """Return the label that gives a level to an answer."""
    asked = answer.question
    return HumanLabel(
        rubric=answer.rubric.name,
        case=answer.case,
        input=asked.input,
        reference=asked.reference,
        context=asked.context,
        answer=asked.answer,
        criterion=criterion,
        level=level,
        rater=rater,
    )
