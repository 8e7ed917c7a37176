"""A sitting as a pure state machine: what a person sees and has decided so far, and a key, into what comes next.

A state keeps every moment before it, so that undoing is going back to one and cannot be wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from evalkit.labels import HumanLabel
from evalkit.reviewing.answers import Answer
from evalkit.reviewing.keys import PASTED, is_text
from evalkit.reviewing.sampling import Picked
from evalkit.rubric import Criterion, Level

Ended: TypeAlias = Literal["", "done", "quit", "interrupted", "stopped"]
"""How a sitting ends: at its end, by q, by ^C, by a signal."""

LONGEST_NOTE = 500
"""Characters: what is typed to explain a level, in a file that others read."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Item:
    """An answer, and the criteria that this person has yet to decide on it."""

    picked: Picked
    criteria: tuple[Criterion, ...]

    @property
    def answer(self) -> Answer:
        """The answer itself."""
        return self.picked.answer


@dataclass(frozen=True, kw_only=True, slots=True)
class Given:
    """One decision: of which item and criterion, the level, and why."""

    item: int
    criterion: str
    level: str
    note: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Moment:
    """What undoing goes back to; `note` is for the decision that comes next."""

    index: int = 0
    given: tuple[Given, ...] = ()
    note: str = ""
    skipped: tuple[int, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class View:
    """What of the texts fits on the screen: lines of a page, and the furthest one can scroll."""

    page: int = 10
    furthest: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Sitting:
    """A review in progress. `draft` is a note being typed, None when none is."""

    items: tuple[Item, ...]
    now: Moment = Moment()
    past: tuple[Moment, ...] = ()
    draft: str | None = None
    scroll: int = 0
    is_whole: bool = False
    is_revealed: bool = False
    is_helping: bool = False
    said: str = ""
    ended: Ended = ""

    @property
    def item(self) -> Item | None:
        """What is looked at; None once all of it was."""
        return self.items[self.now.index] if self.now.index < len(self.items) else None

    @property
    def decided(self) -> tuple[Given, ...]:
        """The decisions on what is looked at."""
        return tuple(given for given in self.now.given if given.item == self.now.index)

    @property
    def criterion(self) -> Criterion | None:
        """What is asked; None when everything about the answer is decided."""
        item, decided = self.item, len(self.decided)
        return item.criteria[decided] if item and decided < len(item.criteria) else None


def begin(picked: Sequence[Picked], labels: Sequence[HumanLabel], rater: str) -> Sitting:
    """A sitting over what this person has not decided yet."""
    known = {label.id for label in labels if label.rater == rater}
    items = []
    for each in picked:
        undecided = tuple(
            criterion
            for criterion in each.answer.rubric.judged
            if label_of(each.answer, criterion.name, "", rater).id not in known
        )
        if undecided:
            items.append(Item(picked=each, criteria=undecided))
    return Sitting(items=tuple(items))


def label_of(answer: Answer, criterion: str, level: str, rater: str) -> HumanLabel:
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


def labels_given(sitting: Sitting, rater: str, run: str) -> tuple[HumanLabel, ...]:
    """The labels of all decisions; those of answers drawn by lot say in which run they were."""
    labels = []
    for given in sitting.now.given:
        picked = sitting.items[given.item].picked
        label = label_of(picked.answer, given.criterion, given.level, rater)
        drawn = (run,) if picked.is_drawn else ()
        labels.append(replace(label, note=given.note, drawn=drawn))
    return tuple(labels)


def levels_by_key(criterion: Criterion) -> dict[str, Level]:
    """The levels on the number keys, the tenth on 0."""
    return {str(number % 10): level for number, level in enumerate(criterion.levels, start=1)}


def press(sitting: Sitting, key: str, view: View = View()) -> Sitting:
    """What comes after a key; one that means nothing here is said to mean nothing."""
    if sitting.is_helping:
        sitting = replace(sitting, is_helping=False)
        return _end(sitting, _INTERRUPTING[key]) if key in _INTERRUPTING else sitting
    sitting = replace(sitting, said="")
    if sitting.draft is not None:
        return _type(sitting, sitting.draft, key)
    if key in _INTERRUPTING:
        return _end(sitting, _INTERRUPTING[key])
    if key in _MOVES:
        return replace(sitting, scroll=_MOVES[key](min(sitting.scroll, view.furthest), view))
    if key in _COMMANDS:
        return _COMMANDS[key](sitting)
    criterion = sitting.criterion
    if criterion is not None and key in (levels := levels_by_key(criterion)):
        return _decide(sitting, criterion, levels[key])
    if key.startswith(PASTED):
        return replace(sitting, said="Pasted text is taken in a note only: n.")
    return replace(sitting, said="No such key here; ? lists them.") if is_text(key) else sitting


def _decide(sitting: Sitting, criterion: Criterion, level: Level) -> Sitting:
    now = sitting.now
    given = Given(item=now.index, criterion=criterion.name, level=level.name, note=now.note)
    return _go(sitting, replace(now, given=(*now.given, given), note=""), stay=True)


def _go(sitting: Sitting, moment: Moment, *, stay: bool = False) -> Sitting:
    """The next moment; one that does not `stay` with the answer starts to read at the top."""
    after = replace(sitting, now=moment, past=(*sitting.past, sitting.now))
    return after if stay else _at_top(after)


def _at_top(sitting: Sitting) -> Sitting:
    return replace(sitting, scroll=0, is_whole=False, is_revealed=False)


def _next(sitting: Sitting) -> Sitting:
    if sitting.item is None:
        return _end(sitting, "done")
    if sitting.criterion is not None:
        return replace(sitting, said="Press the number of a level first, or s to skip.")
    return _go(sitting, replace(sitting.now, index=sitting.now.index + 1, note=""))


def _skip(sitting: Sitting) -> Sitting:
    if sitting.criterion is None:
        return replace(sitting, said="All is answered here; Enter goes on.")
    now = sitting.now
    return _go(
        sitting, replace(now, index=now.index + 1, note="", skipped=(*now.skipped, now.index))
    )


def _undo(sitting: Sitting) -> Sitting:
    if not sitting.past:
        return replace(sitting, said="Nothing to undo in this sitting.")
    moment = sitting.past[-1]
    before = replace(sitting, now=moment, past=sitting.past[:-1])
    # A verdict that was seen stays seen, but it is not held before the person who decides again.
    return (
        replace(before, is_revealed=False) if moment.index == sitting.now.index else _at_top(before)
    )


def _reveal(sitting: Sitting) -> Sitting:
    if sitting.item is None or sitting.criterion is not None:
        return replace(sitting, said="The judge's verdict is shown once you have answered.")
    return replace(sitting, is_revealed=not sitting.is_revealed, scroll=0)


def _open_note(sitting: Sitting) -> Sitting:
    if sitting.item is None:
        return sitting
    return replace(sitting, draft=_note_of(sitting))


def _note_of(sitting: Sitting) -> str:
    """The note of the coming decision; of the last one when all is decided."""
    return sitting.now.note if sitting.criterion is not None else sitting.now.given[-1].note


def _keep_note(sitting: Sitting, draft: str) -> Sitting:
    sitting = replace(sitting, draft=None)
    note, now = draft.strip(), sitting.now
    if note == _note_of(sitting):
        return sitting
    if sitting.criterion is not None:
        return _go(sitting, replace(now, note=note), stay=True)
    last = replace(now.given[-1], note=note)
    return _go(sitting, replace(now, given=(*now.given[:-1], last)), stay=True)


def _type(sitting: Sitting, draft: str, key: str) -> Sitting:
    if key in _INTERRUPTING:
        return _end(_keep_note(sitting, draft), _INTERRUPTING[key])
    if key == "<enter>":
        return _keep_note(sitting, draft)
    if key == "<escape>":
        return replace(sitting, draft=None)
    if key == "<backspace>":
        return replace(sitting, draft=draft[:-1])
    if key == "<clear>":
        return replace(sitting, draft="")
    pasted = " ".join(key.removeprefix(PASTED).splitlines()) if key.startswith(PASTED) else ""
    typed = key if is_text(key) else "".join(filter(is_text, pasted))
    if len(draft) + len(typed) > LONGEST_NOTE:
        return replace(sitting, said=f"A note has at most {LONGEST_NOTE} characters.")
    return replace(sitting, draft=draft + typed)


def _end(sitting: Sitting, how: Ended) -> Sitting:
    return replace(sitting, ended=how)


_INTERRUPTING: Mapping[str, Ended] = {"<interrupt>": "interrupted", "<hangup>": "stopped"}

_MOVES: Mapping[str, Callable[[int, View], int]] = {
    "<up>": lambda at, _: max(at - 1, 0),
    "<down>": lambda at, view: min(at + 1, view.furthest),
    "<page-up>": lambda at, view: max(at - view.page, 0),
    "<page-down>": lambda at, view: min(at + view.page, view.furthest),
    " ": lambda at, view: min(at + view.page, view.furthest),
    "b": lambda at, view: max(at - view.page, 0),
    "<home>": lambda _, __: 0,
    "<end>": lambda _, view: view.furthest,
}

_COMMANDS: Mapping[str, Callable[[Sitting], Sitting]] = {
    "<enter>": _next,
    "s": _skip,
    "u": _undo,
    "<backspace>": _undo,
    "n": _open_note,
    "v": _reveal,
    "x": lambda sitting: replace(sitting, is_whole=not sitting.is_whole, scroll=0),
    "?": lambda sitting: replace(sitting, is_helping=True),
    "q": lambda sitting: _end(sitting, "quit"),
}
