"""The axes of plots: everything that decides lies on them, and their ticks are round."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.report.html.axis import SHARES, Axis, fit_axis

NUMBERS = st.floats(-1e9, 1e9, allow_nan=False)


@given(values=st.lists(st.none() | NUMBERS | st.just(float("inf")), max_size=9))
def test_a_fitted_axis_has_every_value_and_at_most_five_ticks_on_it(
    values: list[float | None],
) -> None:
    axis = fit_axis(values)
    finite = [value for value in values if value is not None and abs(value) < 1e10]
    assert all(axis.low <= value <= axis.high for value in finite)
    assert all(0 <= axis.place(value) <= 1 for value in finite)
    ticks = axis.ticks("{:g}".format)
    assert 1 <= len(ticks) <= 5
    places = [tick.x for tick in ticks]
    assert places == sorted(set(places))


def test_ticks_are_at_round_values() -> None:
    assert [tick.text for tick in SHARES.ticks("{:.0%}".format)] == [
        "0%",
        "25%",
        "50%",
        "75%",
        "100%",
    ]
    texts = [tick.text for tick in Axis(0.713, 0.942).ticks("{:g}".format)]
    assert texts == ["0.75", "0.8", "0.85", "0.9"]


def test_the_margin_of_a_share_does_not_pass_its_ends() -> None:
    axis = fit_axis([0.4, 1.0], least=0.0, most=1.0)
    assert axis.high == 1.0
    assert axis.low == pytest.approx(0.352)
    assert axis.place(2.0) == 1.0
