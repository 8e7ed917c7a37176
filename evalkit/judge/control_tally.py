"""Count what a judge answers to controls, and decide whether it can be trusted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace

from evalkit.core.judgement import ControlResult
from evalkit.judge.control_evidence import Finding, decide_trust


@dataclass(slots=True)
class _Entry:
    """What a judge answered to one control; `decisive` is its first wrong answer, or else its last one."""

    decisive: ControlResult
    times: int = 0
    wrong: int = 0
    is_decided_wrong: bool = False


class ControlTally:
    """The answers of one judge to the controls of one rubric.

    A control that is answered wrong when it is first asked and when it is asked again decides against the
    judge. Otherwise the number of wrong answers decides, of good and bad controls apart: of all, and of
    those that each model gave. A judge that `is_constant` would only repeat a wrong answer.
    """

    def __init__(self, *, is_constant: bool) -> None:
        self._is_constant = is_constant
        self._entries: dict[str, _Entry] = {}
        # By whether the control should pass, and by the model that answered.
        self._asked: Counter[tuple[bool, str]] = Counter()
        self._wrong: Counter[tuple[bool, str]] = Counter()

    def add(self, result: ControlResult, model: str, *, is_sure: bool) -> None:
        """Count an answer; only a control that `is_sure` can decide alone."""
        entry = self._entries.setdefault(result.control, _Entry(result))
        if result.held is None:
            return
        self._asked[result.should_pass, model] += 1
        entry.times += 1
        if result.held:
            entry.decisive = entry.decisive if entry.wrong else result
            return
        self._wrong[result.should_pass, model] += 1
        entry.wrong += 1
        entry.decisive = entry.decisive if entry.wrong > 1 else result
        is_repeated = self._is_constant or entry.times == entry.wrong == 2
        entry.is_decided_wrong |= is_sure and is_repeated

    def take_lost(self) -> frozenset[str]:
        """Forget the controls that never got a verdict, and return their names."""
        lost = frozenset(name for name, entry in self._entries.items() if not entry.times)
        for name in lost:
            del self._entries[name]
        return lost

    def count(self, *, should_pass: bool) -> tuple[int, int]:
        """Return how many answers of one kind there are, and how many of them are wrong."""
        asked, wrong = (
            sum(count for (kind, _), count in counts.items() if kind == should_pass)
            for counts in (self._asked, self._wrong)
        )
        return asked, wrong

    def decide(self, *, should_pass: bool) -> Finding:
        """Return what the answers of one kind show."""
        entries = (e for e in self._entries.values() if e.decisive.should_pass == should_pass)
        by_model = (
            decide_trust(asked, self._wrong[key])
            for key, asked in self._asked.items()
            if key[0] == should_pass
        )
        if any(entry.is_decided_wrong for entry in entries) or "wrong" in by_model:
            return "wrong"
        return decide_trust(*self.count(should_pass=should_pass))

    def list_results(self) -> Iterator[ControlResult]:
        """Yield the result on each control, in the order in which they were first answered.

        A control that was answered wrong has `held` True if the judge is trusted all the same, and None
        if that could not be decided.
        """
        findings = {kind: self.decide(should_pass=kind) for kind in (True, False)}
        for entry in self._entries.values():
            result = replace(entry.decisive, asked=max(1, entry.times), wrong=entry.wrong)
            finding = findings[result.should_pass]
            if entry.wrong and finding == "trusted":
                result = replace(result, held=True)
            elif entry.wrong and finding == "open":
                text = f"{result.answered.rstrip('.')}. No further control could be judged"
                result = replace(result, held=None, answered=text)
            yield result
