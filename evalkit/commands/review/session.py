"""A sitting as a pure state machine: what a person sees and has decided so far, and a key, into what comes next.

A state keeps every moment before it, so that undoing is going back to one and cannot be wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from evalkit.commands.review.answers import JudgedAnswer
from evalkit.commands.review.sampling import SampledAnswer
from evalkit.commands.review.terminal import PASTED, is_printable
from evalkit.core.labels import HumanLabel
from evalkit.core.rubric import Criterion, Level

SessionEnd: TypeAlias = Literal["", "done", "quit", "interrupted", "stopped"]
"""How a sitting ends: at its end, by q, by ^C, by a signal."""

MAX_NOTE_CHARS = 500
"""Characters: what is typed to explain a level, in a file that others read."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ReviewItem:
    """An answer, and the criteria that this person has yet to decide on it."""

    sampled: SampledAnswer
    criteria: tuple[Criterion, ...]

    @property
    def answer(self) -> JudgedAnswer:
        """The answer itself."""
        return self.sampled.answer


@dataclass(frozen=True, kw_only=True, slots=True)
class Decision:
    """One decision: of which item and criterion, the level, and why."""

    item: int
    criterion: str
    level: str
    note: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class SessionState:
    """What undoing goes back to; `note` is for the decision that comes next."""

    index: int = 0
    decisions: tuple[Decision, ...] = ()
    note: str = ""
    skipped: tuple[int, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Viewport:
    """What of the texts fits on the screen: lines of a page, and the furthest one can scroll."""

    page_lines: int = 10
    max_scroll: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class ReviewSession:
    """A review in progress. `draft` is a note being typed, None when none is."""

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
        """What is looked at; None once all of it was."""
        return self.items[self.state.index] if self.state.index < len(self.items) else None

    @property
    def item_decisions(self) -> tuple[Decision, ...]:
        """The decisions on what is looked at."""
        return tuple(given for given in self.state.decisions if given.item == self.state.index)

    @property
    def criterion(self) -> Criterion | None:
        """What is asked; None when everything about the answer is decided."""
        item, decided = self.item, len(self.item_decisions)
        return item.criteria[decided] if item and decided < len(item.criteria) else None


def start_session(
    picked: Sequence[SampledAnswer], labels: Sequence[HumanLabel], rater: str
) -> ReviewSession:
    """A sitting over what this person has not decided yet."""
    known = {label.id for label in labels if label.rater == rater}
    items = []
    for each in picked:
        undecided = tuple(
            criterion
            for criterion in each.answer.rubric.judged_criteria
            if make_label(each.answer, criterion.name, "", rater).id not in known
        )
        if undecided:
            items.append(ReviewItem(sampled=each, criteria=undecided))
    return ReviewSession(items=tuple(items))


def make_label(answer: JudgedAnswer, criterion: str, level: str, rater: str) -> HumanLabel:
    """The label that says so of an answer."""
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


def collect_labels(sitting: ReviewSession, rater: str, run: str) -> tuple[HumanLabel, ...]:
    """The labels of all decisions; those of answers drawn by lot say in which run they were."""
    labels = []
    for given in sitting.state.decisions:
        picked = sitting.items[given.item].sampled
        label = make_label(picked.answer, given.criterion, given.level, rater)
        drawn = (run,) if picked.is_drawn else ()
        labels.append(replace(label, note=given.note, drawn=drawn))
    return tuple(labels)


def levels_by_key(criterion: Criterion) -> dict[str, Level]:
    """The levels on the number keys, the tenth on 0."""
    return {str(number % 10): level for number, level in enumerate(criterion.levels, start=1)}


def apply_key(sitting: ReviewSession, key: str, view: Viewport = Viewport()) -> ReviewSession:
    """What comes after a key; one that means nothing here is said to mean nothing."""
    if sitting.is_help_open:
        sitting = replace(sitting, is_help_open=False)
        return _end(sitting, _INTERRUPTING[key]) if key in _INTERRUPTING else sitting
    sitting = replace(sitting, message="")
    if sitting.draft is not None:
        return _edit_note(sitting, sitting.draft, key)
    if key in _INTERRUPTING:
        return _end(sitting, _INTERRUPTING[key])
    if key in _MOVES:
        return replace(sitting, scroll=_MOVES[key](min(sitting.scroll, view.max_scroll), view))
    if key in _COMMANDS:
        return _COMMANDS[key](sitting)
    criterion = sitting.criterion
    if criterion is not None and key in (levels := levels_by_key(criterion)):
        return _decide(sitting, criterion, levels[key])
    if key.startswith(PASTED):
        return replace(sitting, message="Pasted text is taken in a note only: n.")
    return (
        replace(sitting, message="No such key here; ? lists them.")
        if is_printable(key)
        else sitting
    )


def _decide(sitting: ReviewSession, criterion: Criterion, level: Level) -> ReviewSession:
    now = sitting.state
    given = Decision(item=now.index, criterion=criterion.name, level=level.name, note=now.note)
    return _advance(sitting, replace(now, decisions=(*now.decisions, given), note=""), stay=True)


def _advance(sitting: ReviewSession, moment: SessionState, *, stay: bool = False) -> ReviewSession:
    """The next moment; one that does not `stay` with the answer starts to read at the top."""
    after = replace(sitting, state=moment, undo_states=(*sitting.undo_states, sitting.state))
    return after if stay else _scroll_to_top(after)


def _scroll_to_top(sitting: ReviewSession) -> ReviewSession:
    return replace(sitting, scroll=0, is_expanded=False, is_verdict_shown=False)


def _next(sitting: ReviewSession) -> ReviewSession:
    if sitting.item is None:
        return _end(sitting, "done")
    if sitting.criterion is not None:
        return replace(sitting, message="Press the number of a level first, or s to skip.")
    return _advance(sitting, replace(sitting.state, index=sitting.state.index + 1, note=""))


def _skip(sitting: ReviewSession) -> ReviewSession:
    if sitting.criterion is None:
        return replace(sitting, message="All is answered here; Enter goes on.")
    now = sitting.state
    return _advance(
        sitting, replace(now, index=now.index + 1, note="", skipped=(*now.skipped, now.index))
    )


def _undo(sitting: ReviewSession) -> ReviewSession:
    if not sitting.undo_states:
        return replace(sitting, message="Nothing to undo in this sitting.")
    moment = sitting.undo_states[-1]
    before = replace(sitting, state=moment, undo_states=sitting.undo_states[:-1])
    # A verdict that was seen stays seen, but it is not held before the person who decides again.
    return (
        replace(before, is_verdict_shown=False)
        if moment.index == sitting.state.index
        else _scroll_to_top(before)
    )


def _toggle_verdict(sitting: ReviewSession) -> ReviewSession:
    if sitting.item is None or sitting.criterion is not None:
        return replace(sitting, message="The judge's verdict is shown once you have answered.")
    return replace(sitting, is_verdict_shown=not sitting.is_verdict_shown, scroll=0)


def _open_note(sitting: ReviewSession) -> ReviewSession:
    if sitting.item is None:
        return sitting
    return replace(sitting, draft=_note_of(sitting))


def _note_of(sitting: ReviewSession) -> str:
    """The note of the coming decision; of the last one when all is decided."""
    return sitting.state.note if sitting.criterion is not None else sitting.state.decisions[-1].note


def _save_note(sitting: ReviewSession, draft: str) -> ReviewSession:
    sitting = replace(sitting, draft=None)
    note, now = draft.strip(), sitting.state
    if note == _note_of(sitting):
        return sitting
    if sitting.criterion is not None:
        return _advance(sitting, replace(now, note=note), stay=True)
    last = replace(now.decisions[-1], note=note)
    return _advance(sitting, replace(now, decisions=(*now.decisions[:-1], last)), stay=True)


def _edit_note(sitting: ReviewSession, draft: str, key: str) -> ReviewSession:
    if key in _INTERRUPTING:
        return _end(_save_note(sitting, draft), _INTERRUPTING[key])
    if key == "<enter>":
        return _save_note(sitting, draft)
    if key == "<escape>":
        return replace(sitting, draft=None)
    if key == "<backspace>":
        return replace(sitting, draft=draft[:-1])
    if key == "<clear>":
        return replace(sitting, draft="")
    pasted = " ".join(key.removeprefix(PASTED).splitlines()) if key.startswith(PASTED) else ""
    typed = key if is_printable(key) else "".join(filter(is_printable, pasted))
    if len(draft) + len(typed) > MAX_NOTE_CHARS:
        return replace(sitting, message=f"A note has at most {MAX_NOTE_CHARS} characters.")
    return replace(sitting, draft=draft + typed)


def _end(sitting: ReviewSession, how: SessionEnd) -> ReviewSession:
    return replace(sitting, ended=how)


_INTERRUPTING: Mapping[str, SessionEnd] = {"<interrupt>": "interrupted", "<hangup>": "stopped"}

_MOVES: Mapping[str, Callable[[int, Viewport], int]] = {
    "<up>": lambda at, _: max(at - 1, 0),
    "<down>": lambda at, view: min(at + 1, view.max_scroll),
    "<page-up>": lambda at, view: max(at - view.page_lines, 0),
    "<page-down>": lambda at, view: min(at + view.page_lines, view.max_scroll),
    " ": lambda at, view: min(at + view.page_lines, view.max_scroll),
    "b": lambda at, view: max(at - view.page_lines, 0),
    "<home>": lambda _, __: 0,
    "<end>": lambda _, view: view.max_scroll,
}

_COMMANDS: Mapping[str, Callable[[ReviewSession], ReviewSession]] = {
    "<enter>": _next,
    "s": _skip,
    "u": _undo,
    "<backspace>": _undo,
    "n": _open_note,
    "v": _toggle_verdict,
    "x": lambda sitting: replace(sitting, is_expanded=not sitting.is_expanded, scroll=0),
    "?": lambda sitting: replace(sitting, is_help_open=True),
    "q": lambda sitting: _end(sitting, "quit"),
}
