"""The human-corrected mean: right on average however kind the judge, and narrower than labels alone."""

from __future__ import annotations

import numpy as np
import pytest

from evalkit.stats.distributions import Floats
from evalkit.stats.intervals import mean_interval
from evalkit.stats.ppi import CorrectedMean, correct_mean

CASES, LABELLED, WORLDS = 200, 50, 400


def judge_kindly(human: Floats, rng: np.random.Generator, kindness: float, slips: float) -> Floats:
    """A judge that passes a share of what people fail, and fails a share of what they pass."""
    chance = np.where(human == 1, 1 - slips, kindness)
    judged: Floats = (rng.random(human.size) < chance).astype(float)
    return judged


def estimates(
    kindness: float, slips: float
) -> tuple[list[CorrectedMean], list[float], list[float]]:
    """Corrected means, the means of judge alone, and half widths of labels alone, in many worlds."""
    rng = np.random.default_rng(3)
    corrected, naive, alone = [], [], []
    for _ in range(WORLDS):
        human = (rng.random(CASES) < 0.7).astype(float)
        judged = judge_kindly(human, rng, kindness, slips)
        corrected.append(correct_mean(human[:LABELLED], judged[:LABELLED], judged[LABELLED:]))
        naive.append(float(np.mean(judged)))
        low, high = mean_interval(human[:LABELLED], [[index] for index in range(LABELLED)], 0.05)
        alone.append((high - low) / 2)
    return corrected, naive, alone


@pytest.mark.parametrize(("kindness", "slips"), [(0.3, 0.02), (0.05, 0.05), (0.9, 0.5)])
def test_it_is_right_on_average_and_its_interval_holds(kindness: float, slips: float) -> None:
    corrected, naive, _ = estimates(kindness, slips)
    values = np.array([each.value for each in corrected])
    error = float(np.std(values, ddof=1)) / np.sqrt(WORLDS)
    assert abs(float(np.mean(values)) - 0.7) < 4 * error
    held = [each.low <= 0.7 <= each.high for each in corrected]
    assert np.mean(held) >= 0.86
    if kindness == 0.3:
        assert np.mean(naive) > 0.76, "the judge alone is off"


def test_a_judge_that_agrees_makes_it_narrower_than_labels_alone() -> None:
    corrected, _, alone = estimates(0.1, 0.02)
    widths = [(each.high - each.low) / 2 for each in corrected]
    assert np.mean(widths) < 0.8 * np.mean(alone)
    assert np.mean([each.share for each in corrected]) > 0.5


def test_a_judge_that_guesses_is_hardly_trusted_and_does_no_harm() -> None:
    corrected, _, alone = estimates(0.5, 0.5)
    widths = [(each.high - each.low) / 2 for each in corrected]
    assert np.mean([each.share for each in corrected]) < 0.15
    assert np.mean(widths) < 1.05 * np.mean(alone)


def test_a_drop_that_a_kind_judge_hides_is_found_on_paired_differences() -> None:
    """The judge is kinder to the candidate: it hides most of a drop of 10 points."""
    rng = np.random.default_rng(5)
    found, hidden = [], []
    for _ in range(200):
        before = (rng.random(CASES) < 0.8).astype(float)
        after = np.where(rng.random(CASES) < 0.125, 0.0, before)
        judged = judge_kindly(after, rng, 0.4, 0.02) - judge_kindly(before, rng, 0.05, 0.02)
        human = after - before
        found.append(correct_mean(human[:LABELLED], judged[:LABELLED], judged[LABELLED:]).value)
        hidden.append(float(np.mean(judged)))
    assert float(np.mean(found)) == pytest.approx(-0.1, abs=0.012)
    assert float(np.mean(hidden)) > -0.05


def test_with_every_case_labelled_it_is_what_people_said() -> None:
    human = np.array([1.0, 0.0, 1.0, 1.0])
    found = correct_mean(human, np.zeros(4), np.array([]))
    assert found.value == 0.75
    assert found.share == 0.0


def test_the_formula_written_out() -> None:
    rng = np.random.default_rng(11)
    human, judged, rest = rng.random(40), rng.random(40), rng.random(90)
    judged = 0.5 * judged + 0.5 * human
    every = np.concatenate([judged, rest])
    share = np.cov(human, judged)[0, 1] / (np.var(every, ddof=1) * (1 + 40 / 90))
    found = correct_mean(human, judged, rest)
    assert found.share == pytest.approx(share)
    assert found.value == pytest.approx(share * rest.mean() + (human - share * judged).mean())
    error = np.sqrt(share**2 * rest.var(ddof=1) / 90 + (human - share * judged).var(ddof=1) / 40)
    assert (found.high - found.low) / 2 == pytest.approx(1.6849 * error, rel=1e-3)
