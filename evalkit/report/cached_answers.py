"""Count the answers of a run that came from the cache, and name what the cache does not cover."""

from __future__ import annotations

from dataclasses import dataclass

from evalkit.core.format import format_count
from evalkit.core.run import Run
from evalkit.core.spans import CACHE_GAP, CACHED

MAX_SHOWN_GAPS = 4


@dataclass(frozen=True, kw_only=True, slots=True)
class CachedAnswers:
    """The answers of a run that came from the cache.

    `count` of `answers` did. `not_covered` names what can change them without a new call.
    """

    count: int
    answers: int
    not_covered: tuple[str, ...] = ()

    @property
    def sentence(self) -> str:
        """The numbers and the gaps in one line."""
        answers = format_count(self.answers, "answer")
        text = f"{self.count:,} of {answers} from the cache"
        if not self.not_covered:
            return text
        shown = "; ".join(self.not_covered[:MAX_SHOWN_GAPS])
        hidden = len(self.not_covered) - MAX_SHOWN_GAPS
        return f"{text}, which does not cover: {shown}{f'; {hidden:,} more' if hidden > 0 else ''}"


def count_cached_answers(run: Run) -> CachedAnswers | None:
    """Return the cached answers of a run; None if there are none."""
    trials = (*run.trials, *run.fresh)
    cached = [trial.output.flags for trial in trials if CACHED in trial.output.flags]
    gaps = (flag for flags in cached for flag in flags if flag.startswith(CACHE_GAP))
    if not cached:
        return None
    return CachedAnswers(
        count=len(cached),
        answers=len(trials),
        not_covered=tuple(dict.fromkeys(gap.removeprefix(CACHE_GAP) for gap in gaps)),
    )
