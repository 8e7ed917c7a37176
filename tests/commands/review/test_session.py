"""A session as a state machine: undoing takes back one step, and stopping in between changes nothing."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.commands.review.labels_file import merge_labels
from evalkit.commands.review.loop import run_session
from evalkit.commands.review.records import ReviewSession, SessionState
from evalkit.commands.review.screens import draw_screen
from evalkit.commands.review.session import apply_key, collect_labels, start_session
from evalkit.commands.review.terminal import PASTED, split_keys
from evalkit.core.judgement import CriterionVerdict, Judgement
from evalkit.core.labels import HumanLabel
from evalkit.core.rubric import Criterion, Level, Rubric
from evalkit.core.safe_text import cell_width
from evalkit.judge.judge import JudgeRequest
from evalkit.report.screen import Screen
from tests.support.paths import ROOT
from tests.support.review_samples import LEVELS, make_answer, make_rubric

RATER, RUN = "Ada", "run-1"
PICKED = tuple(
    replace(
        make_answer(f"case-{number}", rubric=make_rubric("clear", "kind")),
        is_drawn=number % 2 == 0,
    )
    for number in range(4)
)
KEYS = st.sampled_from(
    ["1", "2", "3", "<enter>", "s", "u", "n", "v", "x", "?", "<escape>", "<backspace>", " ", "z"]
)


def after(session: ReviewSession, keys: Iterable[str]) -> ReviewSession:
    for key in keys:
        if session.ended:
            break
        session = apply_key(session, key)
    return session


def fresh() -> ReviewSession:
    return start_session(PICKED, (), RATER)


@given(keys=st.lists(KEYS, max_size=30), key=KEYS)
def test_undo_takes_back_any_step(keys: Sequence[str], key: str) -> None:
    before = after(fresh(), keys)
    step = apply_key(before, key)
    if len(step.undo_states) > len(before.undo_states) and not step.ended:
        assert apply_key(step, "u").state == before.state
        assert apply_key(step, "u").undo_states == before.undo_states


@given(keys=st.lists(KEYS, max_size=30))
def test_undoing_everything_leads_back_to_the_start(keys: Sequence[str]) -> None:
    session = after(fresh(), [*keys, "<escape>"])
    session = after(replace(session, ended="", draft=None, is_help_open=False), ["u"] * 40)
    assert session.state == SessionState()


@given(keys=st.lists(KEYS, max_size=40))
def test_whatever_is_pressed_the_state_makes_sense(keys: Sequence[str]) -> None:
    session = after(fresh(), keys)
    decided = [(given_.item, given_.criterion) for given_ in session.state.decisions]
    assert len(set(decided)) == len(decided)
    assert decided == sorted(decided)
    assert {given_.level for given_ in session.state.decisions} <= {level.name for level in LEVELS}
    assert 0 <= session.state.index <= len(session.items)
    assert all(item <= session.state.index for item, _ in decided)
    assert not (session.is_verdict_shown and session.criterion is not None)


DECISIONS = st.fixed_dictionaries(
    {
        (picked.case, name): st.sampled_from(["1", "2", "3"])
        for picked in PICKED
        for name in ("clear", "kind")
    }
)


def sit(
    labels: Sequence[HumanLabel], decisions: Mapping[tuple[str, str], str], presses: int | None
) -> tuple[HumanLabel, ...]:
    """The labels after a session that was stopped after so many keys, or held to its end."""
    session = start_session(PICKED, labels, RATER)
    pressed = 0
    while (item := session.item) is not None:
        if pressed == presses:
            session = apply_key(session, "<interrupt>")
            break
        criterion = session.criterion
        key = decisions[item.answer.case, criterion.name] if criterion else "<enter>"
        session = apply_key(session, key)
        pressed += 1
    return merge_labels(labels, (), collect_labels(session, RATER, RUN))


@given(decisions=DECISIONS, stops=st.lists(st.integers(0, 12), max_size=4))
def test_stopping_and_going_on_is_like_one_session(
    decisions: Mapping[tuple[str, str], str], stops: Sequence[int]
) -> None:
    labels: tuple[HumanLabel, ...] = ()
    for stop in stops:
        labels = sit(labels, decisions, stop)
    assert set(sit(labels, decisions, None)) == set(sit((), decisions, None))
    assert len(sit(labels, decisions, None)) == 8


def test_what_was_decided_is_not_asked_again_but_of_somebody_else() -> None:
    labels = collect_labels(after(fresh(), ["1", "2", "<enter>", "3"]), RATER, RUN)
    again = start_session(PICKED, labels, RATER)
    assert [len(item.criteria) for item in again.items] == [1, 2, 2]
    assert again.criterion is not None
    assert again.criterion.name == "kind"
    assert len(start_session(PICKED, labels, "Bob").items) == 4


def test_an_answer_that_changed_is_asked_again() -> None:
    labels = collect_labels(after(fresh(), ["1", "2"]), RATER, RUN)
    changed = make_answer("case-0", "now this", rubric=PICKED[0].rubric)
    assert len(start_session([changed], labels, RATER).items) == 1
    assert not start_session([PICKED[0]], labels, RATER).items


def test_labels_say_which_were_drawn() -> None:
    labels = collect_labels(after(fresh(), ["1", "1", "<enter>", "2", "2"]), RATER, RUN)
    assert [(each.case, each.criterion, each.level, each.drawn) for each in labels] == [
        ("case-0", "clear", "good", (RUN,)),
        ("case-0", "kind", "good", (RUN,)),
        ("case-1", "clear", "partly", ()),
        ("case-1", "kind", "partly", ()),
    ]


def test_a_note_goes_with_the_level_it_was_written_for() -> None:
    keys = ["n", *"why", "<enter>", "1", "2", "n", *"so", "<enter>", "<enter>"]
    given_ = after(fresh(), keys).state.decisions
    assert [(each.level, each.note) for each in given_] == [("good", "why"), ("partly", "so")]


def test_keys_in_a_note_give_no_level_and_an_interrupt_keeps_it() -> None:
    session = after(fresh(), ["1", "2", "n", *"s 1 q"])
    assert session.draft == "s 1 q"
    assert len(session.state.decisions) == 2
    stopped = apply_key(session, "<interrupt>")
    assert stopped.ended == "interrupted"
    assert stopped.state.decisions[-1].note == "s 1 q"


def test_a_paste_is_no_answer() -> None:
    session = apply_key(fresh(), f"{PASTED}111\n222")
    assert not session.state.decisions
    assert "note" in session.message
    noted = after(session, ["n", f"{PASTED}a\x1b[31m\nb"])
    assert noted.draft == "a[31m b"


def test_a_note_has_an_end() -> None:
    session = after(fresh(), ["n", f"{PASTED}{'a' * 499}", "b", "c"])
    assert session.draft == "a" * 499 + "b"
    assert "500" in session.message


def test_the_verdict_is_shown_only_once_all_is_answered() -> None:
    asked = after(fresh(), ["v"])
    assert not asked.is_verdict_shown
    assert not after(asked, ["1", "v"]).is_verdict_shown
    shown = after(asked, ["1", "1", "v"])
    assert shown.is_verdict_shown
    assert not after(shown, ["<enter>"]).is_verdict_shown


def test_the_last_answer_can_be_taken_back_before_the_end() -> None:
    at_end = after(fresh(), ["s", "s", "s", "1", "1", "<enter>"])
    assert at_end.item is None
    assert not at_end.ended
    assert apply_key(at_end, "u").item is not None
    assert apply_key(at_end, "<enter>").ended == "done"


class Scripted:
    """A terminal that types."""

    def __init__(self, keys: Iterable[str]) -> None:
        self.keys = iter(keys)
        self.shown: list[Sequence[str]] = []

    def size(self) -> tuple[int, int]:
        return 80, 24

    def show(self, lines: Sequence[str]) -> None:
        self.shown.append(lines)

    def read_key(self) -> str:
        return next(self.keys)


def test_every_decision_is_saved_before_the_next_key() -> None:
    saved: list[int] = []
    terminal = Scripted(["1", "x", "2", "u", "2", "<enter>", "<interrupt>"])
    session = run_session(
        fresh(), terminal, Screen(), lambda state: saved.append(len(state.state.decisions))
    )
    assert saved == [1, 2, 1, 2]
    assert session.ended == "interrupted"
    assert len(terminal.shown) == 7


@pytest.mark.parametrize(
    ("sent", "keys", "rest"),
    [
        ("1\r\x7f\x03", ["1", "<enter>", "<backspace>", "<interrupt>"], ""),
        ("\x1b[A\x1bOB\x1b[5~\x1b[6~", ["<up>", "<down>", "<page-up>", "<page-down>"], ""),
        ("\x1b", [], "\x1b"),
        ("a\x1b[", ["a"], "\x1b["),
        ("\x1b[99;5u1", ["<unknown>", "1"], ""),
        ("\x1b[200~1\r2\x1b[201~3", [f"{PASTED}1\n2", "3"], ""),
        ("\x1b[200~1", [], "\x1b[200~1"),
        ("é世", ["é", "世"], ""),
    ],
)
def test_bytes_become_keys(sent: str, keys: list[str], rest: str) -> None:
    assert split_keys(sent) == (keys, rest)


@given(text=st.text(alphabet="1\x1b[O~A;0\r200~201~é", max_size=30), cut=st.integers(0, 30))
def test_it_does_not_matter_how_what_is_sent_is_cut(text: str, cut: int) -> None:
    keys, rest = split_keys(text[:cut])
    more, left = split_keys(rest + text[cut:])
    assert (keys + more, left) == split_keys(text)


@given(
    keys=st.lists(KEYS, max_size=12),
    columns=st.integers(32, 120),
    rows=st.integers(3, 60),
    text=st.text(max_size=400),
)
def test_a_screen_fits_and_holds_nothing_that_steers_a_terminal(
    keys: Sequence[str], columns: int, rows: int, text: str
) -> None:
    picked = [
        replace(make_answer(f"c{text[:9]}", text, rubric=make_rubric("clear")), is_drawn=True)
    ]
    session = after(start_session(picked, (), RATER), keys)
    frame = draw_screen(session, Screen(width=columns), rows)
    assert len(frame.lines) == rows
    for line in frame.lines:
        assert cell_width(line) <= columns, line
        assert not any(unicodedata.category(char) in ("Cc", "Cs") for char in line)


@given(keys=st.lists(KEYS, max_size=12))
def test_no_key_shows_a_verdict_before_all_is_answered(keys: Sequence[str]) -> None:
    verdict = CriterionVerdict(criterion="clear", level="bad", value=0, explanation="TELLTALE")
    answer = make_answer("a", rubric=make_rubric("clear", "kind"), whys=["unsure"])
    score = replace(answer.score, judgement=Judgement(verdicts=(verdict,)))
    session = start_session([replace(replace(answer, score=score), is_drawn=True)], (), RATER)
    for key in keys:
        session = after(session, [key])
        shown = "\n".join(draw_screen(session, Screen(), 40).lines)
        if session.criterion is not None:
            assert "TELLTALE" not in shown
            assert "picked" not in shown
        elif session.is_verdict_shown and not session.is_help_open:
            assert "TELLTALE" in shown


def test_scrolling_shows_every_line_of_an_answer() -> None:
    text = "\n".join(f"line {number}" for number in range(100))
    session = start_session([replace(make_answer("a", text), is_drawn=True)], (), RATER)
    seen: set[str] = set()
    for _ in range(30):
        frame = draw_screen(session, Screen(), 24)
        seen |= {line.strip(" │") for line in frame.lines}
        session = apply_key(session, " ", frame)
    assert {f"line {number}" for number in range(100)} <= seen


REVIEW_GUIDE = ROOT / "evalkit" / "guide" / "review.md"


def test_the_screen_in_the_readme_is_what_is_shown() -> None:
    rubric = Rubric(
        name="helpfulness",
        path="rubrics/helpfulness.yaml",
        criteria=(
            Criterion(
                name="answers",
                question="Does the customer know what to do after reading it?",
                levels=(
                    Level(name="fully", value=1.0, description="Every step is there."),
                    Level(name="partly", value=0.5, description="A step has to be guessed."),
                    Level(name="no", value=0.0, description="It does not say, or says it wrong."),
                ),
            ),
        ),
    )
    question = JudgeRequest(
        criteria=rubric.judged_criteria,
        input="The shoes you sent me are two different sizes. What now?",
        reference="Send both back free of charge; a new pair leaves the same day.",
        answer="I am sorry about that! Please send both shoes back, and we will see.",
    )
    answer = replace(make_answer("wrong-pair", rubric=rubric), question=question)
    items = start_session([replace(answer, is_drawn=True), *PICKED * 8][:30], (), RATER)
    shown = "\n".join(line.rstrip() for line in draw_screen(items, Screen(), 17).lines)
    assert f"```text\n{shown}\n```" in REVIEW_GUIDE.read_text(), shown
