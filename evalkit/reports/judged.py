"""What judges said of one answer, as lines for a terminal: verdicts, then what was asked and answered."""

from __future__ import annotations

from collections.abc import Iterator

from evalkit.judgement import CriterionVerdict, Exchange, Judgement
from evalkit.reports.layout import Screen
from evalkit.reports.numbers import value_text

_LONGEST_EVIDENCE = 400
_LONGEST_MESSAGE = 8000


def judgement_lines(judgement: Judgement, screen: Screen) -> Iterator[str]:
    """Who judged, every criterion with its evidence, and the conversation with the judge."""
    for verdict in judgement.verdicts:
        yield from _verdict_lines(verdict, screen)
    if judgement.judge:
        yield from screen.fold(_account(judgement), indent="       ", hang="         ")
    for exchange in judgement.exchanges:
        yield from _exchange_lines(exchange, screen)


def _verdict_lines(verdict: CriterionVerdict, screen: Screen) -> Iterator[str]:
    by = "" if verdict.by == "judge" else f" (by {verdict.by})"
    votes = f", votes {', '.join(verdict.votes)}" if verdict.votes else ""
    why = f": {verdict.explanation}" if verdict.explanation else ""
    line = f"{verdict.criterion} = {verdict.level}{votes}{by}{why}"
    yield from screen.fold(line, indent="       ", hang="         ")
    if verdict.evidence:
        found = "" if verdict.is_quote else " (which stands nowhere in what was judged)"
        quoted = f"evidence: {verdict.evidence[:_LONGEST_EVIDENCE]}{found}"
        yield from screen.fold(quoted, indent="         ", hang="           ")


def _account(judgement: Judgement) -> str:
    parts = [f"judged by {judgement.judge}"]
    if judgement.model:
        parts.append(f"answering as {judgement.model} {judgement.fingerprint}".rstrip())
    if judgement.is_cached:
        parts.append("a verdict kept from before")
    elif judgement.calls:
        tokens = judgement.input_tokens + judgement.output_tokens
        parts.append(f"{judgement.calls} {'call' if judgement.calls == 1 else 'calls'}")
        parts.append(f"{tokens:,} tokens")
    if judgement.cost_usd is not None:
        parts.append(value_text(judgement.cost_usd, "usd"))
    return ", ".join(parts)


def _exchange_lines(exchange: Exchange, screen: Screen) -> Iterator[str]:
    yield "       asked"
    yield from screen.quote(exchange.asked, limit=_LONGEST_MESSAGE)
    yield "       answered"
    yield from screen.quote(exchange.answered or "(nothing)", limit=_LONGEST_MESSAGE)
    if exchange.problem:
        yield from screen.fold(
            f"no verdict: {exchange.problem}", indent="       ", hang="         "
        )
