"""Every sentence of every outcome of the gate: what it says is true, and the same in every report."""

from __future__ import annotations

import json
import os
import re
from math import isfinite

import pytest

from evalkit.core.gate_result import Check
from evalkit.report.content import OUTCOME_WORDS
from evalkit.report.json import render_json
from evalkit.report.markdown import render_markdown
from evalkit.report.screen import Screen
from evalkit.report.terminal import render_terminal
from tests.support.gate_outcomes import Situation, list_situations
from tests.support.paths import TESTS

GOLDEN = TESTS / "golden" / "sentences.txt"
UPDATE = os.environ.get("EVALKIT_UPDATE_GOLDEN") == "1"
SITUATIONS = list_situations()

CHANGE = re.compile(
    r"^\w+ .+? (?P<base>\S+%) -> (?P<now>\S+%) \((?P<change>\S+) pt, \S+ interval (?P<low>\S+) to "
    r"(?P<high>[^;\s]+);.*? (?P<cases>\d+) cases?\b.*?, (?P<m>\S+) baseline and (?P<k>\S+) candidate"
)


def told(name: str, situation: Situation) -> str:
    """All that the gate says about a situation."""
    result = situation.result
    lines = [f"## {name}: {result.outcome}, exit {result.exit_code}", f"reason: {result.reason}"]
    lines += [
        f"check: {check.sentence}" for check in result.checks if check.sentence not in result.reason
    ]
    lines += [f"note: {note}" for note in result.notes]
    return "\n".join(lines)


def test_the_gate_says_what_it_said() -> None:
    """EVALKIT_UPDATE_GOLDEN=1 writes the file anew; read every sentence that changed."""
    shown = "\n\n".join(told(name, each) for name, each in SITUATIONS.items()) + "\n"
    if UPDATE:
        GOLDEN.write_text(shown)
    assert shown == GOLDEN.read_text()


def flat(text: str) -> str:
    return re.sub(r"[\s\\`*]+", " ", text)


@pytest.mark.parametrize("name", SITUATIONS)
def test_what_is_said_is_true_and_the_same_in_every_report(name: str) -> None:
    situation = SITUATIONS[name]
    result = situation.result
    document = json.loads(render_json(situation.report))
    assert document["reason"] == result.reason
    reason = flat(result.reason.removeprefix(f"{OUTCOME_WORDS[result.outcome]} "))
    assert reason in flat(render_terminal(situation.report, Screen(width=120), verbose=True))
    assert reason[:300] in flat(render_markdown(situation.report)).replace("&gt;", ">")
    for text in (result.reason, *(check.sentence for check in result.checks), *result.notes):
        assert not re.search(r"\b(nan|inf|None)\b|  |\.\.|\( ", text), text
        assert text.endswith((".", "?", "run")), text
    for check in result.checks:
        check_numbers(check)
        check_reasons(check, result.reason, result.notes)


def check_numbers(check: Check) -> None:
    """The numbers of a sentence are those of the document, and an interval contains its estimate."""
    if check.low is not None and check.high is not None:
        estimate = check.candidate if check.difference is None else check.difference
        assert estimate is not None
        assert check.low - 1e-9 <= estimate <= check.high + 1e-9, check.sentence
        if check.difference is None:
            assert check.low >= 0, "no pass rate, latency, or cost is negative"
        else:
            assert check.low >= -1, "nothing falls by more than all of it"
    found = CHANGE.match(check.sentence)
    if found is None:
        return
    numbers = {
        "base": (check.baseline, 100),
        "now": (check.candidate, 100),
        "change": (check.difference, 100),
        "low": (check.low, 100),
        "high": (check.high, 100),
        "cases": (check.cases, 1),
        "m": (check.base_trials, 1),
        "k": (check.trials, 1),
    }
    for word, (value, scale) in numbers.items():
        assert value is not None
        assert isfinite(value)
        assert float(found[word].rstrip("%")) == pytest.approx(scale * value, abs=0.06), word


def check_reasons(check: Check, reason: str, notes: tuple[str, ...]) -> None:
    """A sentence that numbers seem to contradict gives the reason."""
    is_tested = check.p_value is not None
    if is_tested and check.outcome == "fail" and check.low is not None and check.high is not None:
        worst = check.high if check.rule.max_drop is not None else -check.low
        assert worst < 0 or "includes 0 because" in check.sentence
    if check.outcome == "inconclusive":
        assert check.to_decide
        if check.sentence in reason:
            assert check.to_decide in reason, (
                "what would decide it is said even if it is the only one"
            )
    if check.outcome == "pass" and check.rule.max_drop is not None and check.baseline == 0:
        assert "no result could fail" in check.sentence
        assert any("no result could fail" in note for note in notes)
        assert not any("time in" in note and "fails an agent" in note for note in notes)
