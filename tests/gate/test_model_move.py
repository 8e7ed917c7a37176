"""Which runs and trials count as evidence that a model moved, and in which direction it did."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from evalkit.core.run import MetricInfo, Run
from evalkit.core.spans import CACHED
from evalkit.gate.model_move import find_model_moves, is_in_series
from tests.support.run_samples import make_run

CASES = [f"c{number}" for number in range(30)]


def make_night(number: int, broken: int = 0, fixed: int = 0) -> Run:
    """A night of one trial, with the first 20 cases passing; some of them broken, or others fixed."""
    row = {case: [float(broken <= n < 20 + fixed)] for n, case in enumerate(CASES)}
    return make_run({"accuracy": row}, run_id=f"night-{number}")


BASE = make_run(
    {"accuracy": {case: [float(n < 20)] * 3 for n, case in enumerate(CASES)}}, run_id="b"
)
MOVED = [make_night(0), *(make_night(number, broken=8) for number in range(1, 5))]


def test_a_move_names_its_direction_size_and_the_run_that_proves_it() -> None:
    [fell] = find_model_moves(BASE, MOVED)
    assert (fell.metric, fell.direction, fell.runs, fell.cases) == ("accuracy", "fell", 5, 30)
    assert fell.base == pytest.approx(20 / 30)
    assert fell.now == pytest.approx((20 + 4 * 12) / 5 / 30)
    assert fell.run_id in {"night-1", "night-2", "night-3"}
    assert fell.e_value >= 20
    [rose] = find_model_moves(BASE, [make_night(number, fixed=8) for number in range(5)])
    assert rose.direction == "rose"
    assert not find_model_moves(BASE, [make_night(number) for number in range(20)])


def test_only_fresh_answers_to_the_same_cases_by_the_same_metric_count() -> None:
    def with_flag(run: Run) -> Run:
        return replace(
            run,
            trials=tuple(
                replace(trial, output=replace(trial.output, flags=(CACHED,)))
                for trial in run.trials
            ),
        )

    assert not find_model_moves(BASE, [with_flag(run) for run in MOVED])
    other = MetricInfo(name="accuracy", digest="other")
    redefined = [replace(run, header=replace(run.header, metrics=(other,))) for run in MOVED]
    assert not find_model_moves(BASE, redefined)
    edited = [
        replace(
            run,
            header=replace(
                run.header, cases=tuple(replace(case, digest="new") for case in run.header.cases)
            ),
        )
        for run in MOVED
    ]
    assert not find_model_moves(BASE, edited)


@pytest.mark.parametrize(
    ("changes", "counts"),
    [
        ({}, True),
        ({"agent_version": "w"}, False),
        ({"source_digest": "edited"}, False),
        ({"selection": "--failed"}, False),
        ({"shard": "1/2"}, False),
        ({"scored_from": "b"}, False),
        ({"id": "b"}, False),
    ],
)
def test_a_series_has_whole_runs_of_the_same_agent(changes: dict[str, str], counts: bool) -> None:
    header = replace(MOVED[0].header, **changes)  # type: ignore[arg-type]
    assert is_in_series(header, BASE.header) is counts


def test_further_trials_that_a_run_chose_do_not_count() -> None:
    # With looks, only the first trial of each case does: the further ones depend on what it showed.
    rng = np.random.default_rng(1)
    rows = {
        case: [float(n < 20), *rng.integers(0, 2, 4).astype(float)] for n, case in enumerate(CASES)
    }
    run = make_run({"accuracy": rows}, run_id="looks")
    nights = [replace(run, header=replace(run.header, id=f"n{n}", looks=5)) for n in range(5)]
    assert not find_model_moves(BASE, nights)
    fixed = [replace(run, header=replace(run.header, id=f"n{n}")) for n in range(5)]
    assert find_model_moves(BASE, fixed)
