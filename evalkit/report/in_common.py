"""Say what the cases that need attention have in common: the answer, an error, a tag, a tool."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple

from evalkit.core.format import format_count
from evalkit.core.trial import Trial
from evalkit.report.case_status import CaseResult, answer_text, representative_trial

_MIN_CASES = 2
_MIN_TAGGED_CASES = 3
_MIN_TAG_RATIO = 1.5
"""A tag is named if the share of cases with it is so many times that among all cases."""
_MAX_QUOTE_CHARS = 160
_MAX_FINDINGS = 2


class CommonFinding(NamedTuple):
    """What several cases have in common: a sentence around what it quotes from the data."""

    start: str
    quote: str
    end: str

    @property
    def sentence(self) -> str:
        """The sentence as text."""
        return f"{self.start}{self.quote}{self.end}"


def find_in_common(results: Sequence[CaseResult]) -> list[CommonFinding]:
    """Return what the broken cases of a run have in common; empty if nothing is worth saying.

    These are counts, not causes; `evalkit.compare.breakage` tests what goes together with failing.
    """
    broken = [result for result in results if result.is_broken]
    if len(broken) < _MIN_CASES:
        return []
    return [
        *_same_answers(broken),
        *_same_errors(broken),
        *_tags_in_common(broken, results),
        *_tools_in_common(broken),
    ]


def _shown_trial(result: CaseResult) -> Trial | None:
    return representative_trial(result.trials, passed=False)


def _of(count: int, broken: Collection[CaseResult]) -> str:
    subject = format_count(len(broken), "case")
    whole = f"All {subject}" if count == len(broken) else f"{count:,} of {subject}"
    return f"{whole} that need attention"


def _same_answers(broken: Sequence[CaseResult]) -> Iterator[CommonFinding]:
    shown = [trial for trial in map(_shown_trial, broken) if trial and not trial.output.error]
    answers = Counter(answer_text(trial.output).strip() for trial in shown)
    for answer, count in answers.most_common(1):
        # Short answers, such as labels, are alike by nature.
        if count >= _MIN_CASES and 4 * count >= len(broken) and (not answer or " " in answer):
            said = " get the same answer: " if answer else " get an "
            yield CommonFinding(_of(count, broken) + said, _cut(answer) or "empty answer", "")


def _same_errors(broken: Sequence[CaseResult]) -> Iterator[CommonFinding]:
    shown = [trial.output.error for trial in map(_shown_trial, broken) if trial]
    errors = [error for error in shown if error is not None]
    for words in (
        # Messages with a number that differs leave the kind in common.
        [f"{error.kind}: {error.message}".removesuffix(": ") for error in errors],
        [error.kind for error in errors],
    ):
        [(text, count)] = Counter(words).most_common(1) or [("", 0)]
        if count >= _MIN_CASES and 2 * count >= len(errors):
            yield CommonFinding(f"{_of(count, broken)} end in the error ", _cut(text), ".")
            return


def _cut(text: str) -> str:
    line = " ".join(text[: 2 * _MAX_QUOTE_CHARS].split())
    return line if len(line) <= _MAX_QUOTE_CHARS else f"{line[:_MAX_QUOTE_CHARS]}…"


def _tags_in_common(
    broken: Sequence[CaseResult], results: Sequence[CaseResult]
) -> Iterator[CommonFinding]:
    sizes = Counter(tag for result in results for tag in result.case.tags)
    counts = Counter(tag for result in broken for tag in result.case.tags)
    usual = len(broken) / len(results)
    named = [
        (count / sizes[tag], count, tag)
        for tag, count in counts.items()
        if count >= _MIN_TAGGED_CASES and count / sizes[tag] >= max(0.5, _MIN_TAG_RATIO * usual)
    ]
    for _, count, tag in sorted(named, reverse=True)[:_MAX_FINDINGS]:
        whole = "all" if count == sizes[tag] else f"{count:,} of"
        cases = format_count(sizes[tag], "case")
        yield CommonFinding("Of the tag ", tag, f", {whole} {cases} need attention.")


def _tools_in_common(broken: Sequence[CaseResult]) -> Iterator[CommonFinding]:
    gained: Counter[str] = Counter()
    lost: Counter[str] = Counter()
    for result in broken:
        now = _shown_trial(result)
        if now is None or now.output.error is not None or not result.base:
            continue
        tools = {call.name for call in now.output.tool_calls}
        before = [{call.name for call in trial.output.tool_calls} for trial in result.base]
        # Compare with what every trial of the baseline did, so that a flaky call is no change.
        gained.update(tools - set().union(*before))
        lost.update(set.intersection(*before) - tools)
    for counts, what in (
        (lost, "no longer call"),
        (gained, "now call"),
    ):
        for tool, count in counts.most_common(1):
            if count >= _MIN_CASES and 4 * count >= len(broken):
                yield CommonFinding(f"{_of(count, broken)} {what} ", tool, ".")
