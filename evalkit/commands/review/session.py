"""Apply keys to a review session: a pure state machine of what a person sees and has decided.

The session keeps every earlier state, so that undo restores one and cannot be wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from evalkit.commands.review.records import (
    Decision,
    Frame,
    JudgedAnswer,
    ReviewItem,
    ReviewSession,
    SessionEnd,
    SessionState,
    levels_by_key,
    make_label,
)
from evalkit.commands.review.terminal import PASTED, is_printable
from evalkit.core.labels import HumanLabel

MAX_NOTE_CHARS = 500
"""Characters of a note: it explains a level, in a file that other people read."""


def start_session(
    picked: Sequence[JudgedAnswer], labels: Sequence[HumanLabel], rater: str
) -> ReviewSession:
    """Return a session over the criteria that this person has not labeled yet."""
    known = {label.id for label in labels if label.rater == rater}
    items = []
    for each in picked:
        undecided = tuple(
            criterion
            for criterion in each.rubric.judged_criteria
            if make_label(each, criterion.name, "", rater).id not in known
        )
        if undecided:
            items.append(ReviewItem(answer=each, criteria=undecided))
    return ReviewSession(items=tuple(items))


def collect_labels(session: ReviewSession, rater: str, run: str) -> tuple[HumanLabel, ...]:
    """Return the labels of all decisions; the label of an answer drawn at random names the run."""
    labels = []
    for decision in session.state.decisions:
        answer = session.items[decision.item].answer
        label = make_label(answer, decision.criterion, decision.level, rater)
        drawn = (run,) if answer.is_drawn else ()
        labels.append(replace(label, note=decision.note, drawn=drawn))
    return tuple(labels)


_NO_FRAME = Frame()


def apply_key(session: ReviewSession, key: str, frame: Frame = _NO_FRAME) -> ReviewSession:
    """Return the session after a key; `frame` is what the person saw when they pressed it."""
    if session.is_help_open:
        session = replace(session, is_help_open=False)
        return _end(session, _INTERRUPTING[key]) if key in _INTERRUPTING else session
    session = replace(session, message="")
    if session.draft is not None:
        return _edit_note(session, session.draft, key)
    if key in _INTERRUPTING:
        return _end(session, _INTERRUPTING[key])
    if key in _MOVES:
        steps = {"line": 1, "page": frame.page_lines, "all": frame.max_scroll}
        unit, direction = _MOVES[key]
        # After the text was shortened or the window grew, the position may be beyond the end.
        scroll = min(session.scroll, frame.max_scroll) + direction * steps[unit]
        return replace(session, scroll=min(max(scroll, 0), frame.max_scroll))
    if key in _COMMANDS:
        return _COMMANDS[key](session)
    criterion, state = session.criterion, session.state
    if criterion is not None and key in (levels := levels_by_key(criterion)):
        decision = Decision(
            item=state.index, criterion=criterion.name, level=levels[key].name, note=state.note
        )
        return _advance(session, replace(state, decisions=(*state.decisions, decision), note=""))
    if key.startswith(PASTED):
        return replace(session, message="You can paste into a note only; press n to write one.")
    return (
        replace(session, message="Unknown key; press ? for help.") if is_printable(key) else session
    )


def _advance(session: ReviewSession, state: SessionState) -> ReviewSession:
    """Move to a state in a way that undo takes back."""
    return replace(session, state=state, undo_states=(*session.undo_states, session.state))


def _scroll_to_top(session: ReviewSession) -> ReviewSession:
    return replace(session, scroll=0, is_expanded=False, is_verdict_shown=False)


def _leave(session: ReviewSession, *, skipped: tuple[int, ...] = ()) -> ReviewSession:
    state = session.state
    skipped = (*state.skipped, *skipped)
    after = replace(state, index=state.index + 1, note="", skipped=skipped)
    return _scroll_to_top(_advance(session, after))


def _next(session: ReviewSession) -> ReviewSession:
    if session.item is None:
        return _end(session, "done")
    if session.criterion is not None:
        return replace(session, message="Press the number of a level first, or s to skip.")
    return _leave(session)


def _skip(session: ReviewSession) -> ReviewSession:
    if session.criterion is None:
        return replace(session, message="This answer is complete; press Enter to continue.")
    return _leave(session, skipped=(session.state.index,))


def _undo(session: ReviewSession) -> ReviewSession:
    if not session.undo_states:
        return replace(session, message="There is nothing to undo.")
    *earlier, state = session.undo_states
    before = replace(session, state=state, undo_states=tuple(earlier))
    # Hide the verdict: the person decides again.
    is_same_item = state.index == session.state.index
    return replace(before, is_verdict_shown=False) if is_same_item else _scroll_to_top(before)


def _toggle_verdict(session: ReviewSession) -> ReviewSession:
    if session.item is None or session.criterion is not None:
        return replace(session, message="The judge's verdict is hidden until you have answered.")
    return replace(session, is_verdict_shown=not session.is_verdict_shown, scroll=0)


def _open_note(session: ReviewSession) -> ReviewSession:
    return session if session.item is None else replace(session, draft=_current_note(session))


def _current_note(session: ReviewSession) -> str:
    """Return the note of the next decision, or of the last one when the item is complete."""
    state = session.state
    return state.note if session.criterion is not None else state.decisions[-1].note


def _save_note(session: ReviewSession, draft: str) -> ReviewSession:
    session = replace(session, draft=None)
    note, state = draft.strip(), session.state
    if note == _current_note(session):
        return session
    if session.criterion is not None:
        return _advance(session, replace(state, note=note))
    decisions = (*state.decisions[:-1], replace(state.decisions[-1], note=note))
    return _advance(session, replace(state, decisions=decisions))


def _edit_note(session: ReviewSession, draft: str, key: str) -> ReviewSession:
    if key in _INTERRUPTING:
        return _end(_save_note(session, draft), _INTERRUPTING[key])
    if key == "<enter>":
        return _save_note(session, draft)
    if key == "<escape>":
        return replace(session, draft=None)
    if key in ("<backspace>", "<clear>"):
        return replace(session, draft=draft[:-1] if key == "<backspace>" else "")
    # Control characters in pasted text could steer the terminal, and a note is one line.
    pasted = " ".join(key.removeprefix(PASTED).splitlines()) if key.startswith(PASTED) else ""
    typed = key if is_printable(key) else "".join(filter(is_printable, pasted))
    if len(draft) + len(typed) > MAX_NOTE_CHARS:
        return replace(session, message=f"A note has at most {MAX_NOTE_CHARS} characters.")
    return replace(session, draft=draft + typed)


def _end(session: ReviewSession, how: SessionEnd) -> ReviewSession:
    return replace(session, ended=how)


_INTERRUPTING: Mapping[str, SessionEnd] = {"<interrupt>": "interrupted", "<hangup>": "stopped"}

_MOVES = {
    "<up>": ("line", -1),
    "<down>": ("line", 1),
    "<page-up>": ("page", -1),
    "b": ("page", -1),
    "<page-down>": ("page", 1),
    " ": ("page", 1),
    "<home>": ("all", -1),
    "<end>": ("all", 1),
}

_COMMANDS: Mapping[str, Callable[[ReviewSession], ReviewSession]] = {
    "<enter>": _next,
    "s": _skip,
    "u": _undo,
    "<backspace>": _undo,
    "n": _open_note,
    "v": _toggle_verdict,
    "x": lambda session: replace(session, is_expanded=not session.is_expanded, scroll=0),
    "?": lambda session: replace(session, is_help_open=True),
    "q": lambda session: _end(session, "quit"),
}
