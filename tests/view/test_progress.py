"""A run under way: read as it grows, and a time left that promises nothing it cannot know."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from evalkit.core.format import format_estimated_time
from evalkit.core.run import Run
from evalkit.core.serialization import canonical_json, to_json_value
from evalkit.store.runs import HEADER_FILE, TRIALS_FILE
from evalkit.view.progress import Passes, RunFollower, count_baseline_passes
from evalkit.view.time_left import estimate_time_left
from tests.support.run_samples import make_run

RUN = make_run({"ok": {"a": [1, 0], "b": [0, 0], "c": [1, 1], "d": [0, 1]}}, cost_usd=0.5)


def lines_of(run: Run) -> list[bytes]:
    return [(canonical_json(to_json_value(trial)) + "\n").encode() for trial in run.trials]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    header = canonical_json(to_json_value(replace(RUN.header, settings={"trials": 2})))
    (tmp_path / HEADER_FILE).write_text(header)
    return tmp_path


def test_a_run_is_followed_as_it_grows_is_cut_off_and_is_replaced(folder: Path) -> None:
    before = {"a": Passes(9, 10), "b": Passes(0, 10), "c": Passes(10, 10)}
    follower = RunFollower(folder, lambda _: before)
    path = folder / TRIALS_FILE
    assert follower.read(0).done == 0
    lines = lines_of(RUN)
    path.write_bytes(lines[0] + lines[2] + lines[4][:20])
    state = follower.read(1)
    assert (state.done, state.planned, state.passed, state.failed) == (2, 8, 1, 1)
    assert state.cases == ("passes", "fails_as_before", "waiting", "waiting")
    assert state.cost_usd == pytest.approx(1.0)
    with path.open("ab") as stream:
        stream.write(lines[4][20:] + lines[1] + lines[6])
    state = follower.read(2)
    assert (state.done, state.failed) == (5, 3)
    assert [(case.case_id, case.is_new) for case in state.worst] == [
        ("a", True),
        ("d", True),
        ("b", False),
    ]
    assert state.worst[0].now == Passes(1, 2), "half of the trials is not enough"
    # A repair replaces the file, and a resumed run may repeat a trial.
    path.unlink()
    path.write_bytes(lines[0] + lines[0])
    assert follower.read(3).done == 1


def test_passes_of_the_baseline_are_counted_by_the_metrics_of_both() -> None:
    base = make_run({"ok": {"a": [1, 1], "b": [0, 1]}, "old": {"a": [0, 0], "b": [0, 0]}})
    assert count_baseline_passes(base, RUN.header) == {"a": (2, 2), "b": (1, 2)}
    assert count_baseline_passes(None, RUN.header) == {}
    edited = make_run({"ok": {"a": [1, 1]}}, digests={"a": "another"})
    assert count_baseline_passes(edited, RUN.header) == {}


def test_no_time_is_promised_before_five_trials_or_in_a_run_that_hangs() -> None:
    assert estimate_time_left([], 100.0, 10, 0.0) is None
    assert estimate_time_left([1, 2, 3, 4], 4.0, 10, 1.0) is None
    steady = [float(second) for second in range(101)]
    left = estimate_time_left(steady, 100.0, 50, 2.0)
    assert left is not None
    assert 35 < left.low_s < 50 < left.high_s < 80
    assert estimate_time_left(steady[::-1], 100.0, 50, 2.0) == left
    more = estimate_time_left(steady, 100.0, 500, 2.0)
    assert more is not None
    assert more.high_s > left.high_s
    hanging = estimate_time_left(steady, 10_000.0, 50, 2.0)
    assert hanging is not None
    assert hanging.low_s > 50 * left.low_s
    assert estimate_time_left(steady, 100.0, 0, 2.0) == (0.0, 0.0)


def test_the_pause_before_a_run_was_resumed_says_nothing_about_its_rate() -> None:
    resumed = [float(second) for second in (*range(50), *range(10_000, 10_021))]
    left = estimate_time_left(resumed, 10_020.0, 20, 1.0)
    assert left is not None
    assert 10 < left.low_s < 20 < left.high_s < 50
    assert estimate_time_left(resumed[:53], 10_002.0, 20, 1.0) is None


def test_stored_times_count_from_the_first_look(folder: Path) -> None:
    timed = [
        replace(trial, started_s=1_000.0 + number, took_s=2.0)
        for number, trial in enumerate(RUN.trials[:6])
    ]
    (folder / TRIALS_FILE).write_bytes(b"".join(lines_of(replace(RUN, trials=tuple(timed)))))
    left = RunFollower(folder, lambda _: {}).read(1_007.0).left
    assert left is not None
    assert left.low_s < 2 < left.high_s
    (folder / TRIALS_FILE).write_bytes(b"".join(lines_of(RUN)[:6]))
    assert RunFollower(folder, lambda _: {}).read(1_007.0).left is None


def test_a_time_has_the_digits_that_an_estimate_deserves() -> None:
    assert [format_estimated_time(each) for each in (0, 8.2, 99, 117, 5_000, 7_500)] == [
        "0 s",
        "8 s",
        "99 s",
        "2 min",
        "83 min",
        "2.1 h",
    ]
