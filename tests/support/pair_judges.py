"""Judges for tests that compare two answers, good and biased."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.support.stub_judges import Asking, honest, verdict_of


def is_pair(asking: Asking) -> bool:
    """Whether a judge is asked about two answers."""
    return "answer_A" in asking.material


def preferring(worth: Callable[[str, Asking], float]) -> Callable[[Asking], dict[str, Any]]:
    """A judge that prefers the answer that is worth more, in whatever place, and is honest otherwise."""

    def judge(asking: Asking) -> dict[str, Any]:
        if not is_pair(asking):
            return honest(asking)
        lead = worth(asking.material["answer_A"], asking) - worth(
            asking.material["answer_B"], asking
        )
        level = "tie" if lead == 0 else "A" if lead > 0 else "B"
        return same_level(asking, level)

    return judge


def same_level(asking: Asking, level: str) -> dict[str, Any]:
    """One level for every criterion."""

    def choose(_key: str, _levels: object) -> str:
        return level

    return verdict_of(asking, choose)


def right_and_brief(answer: str, asking: Asking) -> float:
    """What an answer is worth: the reference's words count most, then to be brief."""
    reference = asking.material.get("reference", "\0").casefold()
    is_right = any(word in answer.casefold() for word in (reference, "late on thursday"))
    return 1000 * is_right - len(answer)


def first_place(asking: Asking) -> dict[str, Any]:
    """A judge that always prefers what it is shown first."""
    return verdict_of(asking, lambda _, levels: levels[0]) if is_pair(asking) else honest(asking)
