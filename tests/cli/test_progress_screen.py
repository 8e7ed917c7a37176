"""The progress of a run on a terminal: what finished, what fails newly, and the time left."""

from __future__ import annotations

import pytest

from evalkit.cli.progress_counts import ProgressCounts
from evalkit.cli.progress_screen import progress_lines
from evalkit.core.context import Stage
from evalkit.core.safe_text import cell_width
from evalkit.core.trial import AgentError, Output, Score, Trial
from evalkit.report.screen import Screen


def trial(case_id: str, passed: bool | None, number: int = 0) -> Trial:
    """A trial that passed, failed, or got no answer."""
    if passed is None:
        error = AgentError(kind="exception", message="no")
        return Trial(case_id=case_id, number=number, output=Output(text="", error=error))
    score = Score(metric="exact_match", value=float(passed), passed=passed)
    output = Output(text="x", cost_usd=0.25)
    return Trial(case_id=case_id, number=number, output=output, scores=(score,))


class Clock:
    """Time that moves only when it is told to."""

    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def counted(passing: set[str] | None, *, label: str = "", earlier: int = 0) -> ProgressCounts:
    """Ten trials of which six are done after 12 s, `earlier` of them before that."""
    clock = Clock()
    done = [
        trial("a", True),
        trial("b", False),
        trial("c", False),
        trial("b", False, 1),
        trial("d", None),
        trial("e", True),
    ]
    stage = Stage(evalset="s", total=10, passing=passing, label=label, earlier=done[:earlier])
    counts = ProgressCounts(stage, clock)
    for each in done[earlier:]:
        counts.add(each)
    clock.now_s = 12.0
    return counts


def test_a_look_says_what_fails_that_passed_before_and_how_long_it_takes() -> None:
    lines = progress_lines(counted({"a", "b"}, label="look after 1 of up to 5 trials"), Screen())
    assert lines == [
        "s  look after 1 of up to 5 trials",
        f"  {'█' * 24}{'░' * 16}  6 of 10",
        "  12 s gone, 8 s left for this look, $1.25",
        "  2 pass   2 newly failing   1 fail as before   1 without a score   4 wait",
        "  fails  b",
        "  ^C stops; finished trials are kept, and --resume continues",
    ]


def test_without_a_baseline_every_failing_case_is_named_once() -> None:
    lines = progress_lines(counted(None, earlier=2), Screen(unicode=False))
    assert lines[1] == f"  {'#' * 24}{'.' * 16}  6 of 10"
    # The four trials of this stage took 12 s.
    assert lines[2] == "  12 s gone, 12 s left, $1.25"
    assert lines[3] == "  2 pass   3 fail   1 without a score   4 wait"
    assert lines[4:6] == ["  fails  b", "  fails  c"]


@pytest.mark.parametrize("width", [32, 60, 200])
def test_data_moves_nothing_on_the_screen_and_no_line_is_wider(width: int) -> None:
    stage = Stage(evalset="s\x1b[2J" * 30, total=9, passing={"x\r\n\x1b[1A" * 40})
    counts = ProgressCounts(stage, Clock())
    counts.add(trial("x\r\n\x1b[1A" * 40, False))
    for case_id in "abcd":
        counts.newly_failed[case_id] = None
    lines = progress_lines(counts, Screen(width=width))
    assert all(cell_width(line) <= width for line in lines)
    assert not any(char in line for line in lines for char in "\x1b\r\n")
    assert "  and 2 more" in lines
