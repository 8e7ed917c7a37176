"""Every case of a judged run as a row that opens: what was asked, expected, answered then and now."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from evalkit.core.judgement import CriterionVerdict
from evalkit.core.safe_text import head
from evalkit.core.trial import Score, Trial
from evalkit.report.case_status import (
    STATUS_TEXTS,
    CaseResult,
    answer_text,
    case_results,
    count_statuses,
    input_text,
    json_text,
    passes_change,
    reason_text,
    representative_trial,
)
from evalkit.report.html.markup import Html, join, tag, word_diff
from evalkit.report.html.waterfall import render_waterfall
from evalkit.report.model import Report
from evalkit.report.numbers import value_cell
from evalkit.store.span_file import SpansByTrial

_MAX_PAGE_CHARS = 500_000
"""Of all cases' texts together, so that the page stays under a megabyte."""

_MAX_WATERFALL_BYTES = 420_000
"""Of all waterfalls together, for the same reason."""

_MIN_TEXT_CHARS = 200
_MAX_TEXT_CHARS = 4000


def case_list(report: Report) -> Html:
    """The cases with their filters; broken ones stand first, the others in the order of the run."""
    results = case_results(report)
    order = list(STATUS_TEXTS)
    ranked = sorted(results, key=lambda result: order.index(result.status))
    limit = max(
        _MIN_TEXT_CHARS, min(_MAX_TEXT_CHARS, _MAX_PAGE_CHARS // (6 * max(len(results), 1)))
    )
    units = {info.name: info.unit for info in report.run.header.metrics}
    steps = _steps(ranked, report.spans, limit)
    rows = [
        _case(number, result, units, limit, steps.get(result.case.id))
        for number, result in enumerate(ranked)
    ]
    return tag(
        "section",
        tag("h2", "Cases"),
        _filters(results),
        tag("p", "", class_="count", role="status", aria_live="polite"),
        tag("div", join(rows), class_="cases", id="case-list"),
        id="cases",
    )


def _steps(ranked: Sequence[CaseResult], spans: SpansByTrial, limit: int) -> dict[str, Html | None]:
    """The waterfalls of the trials that are shown; what the first ones need not is left to the others."""
    found = {}
    for result in ranked:
        trial = representative_trial(result.trials, passed=False)
        if trial is not None:
            stored = spans.get((trial.case_id, trial.number), ())
            found[result.case.id] = stored or trial.output.spans
    with_steps = {case_id: steps for case_id, steps in found.items() if steps}
    drawn: dict[str, Html | None] = {}
    room = _MAX_WATERFALL_BYTES
    for number, (case_id, steps) in enumerate(with_steps.items()):
        drawn[case_id] = render_waterfall(steps, limit, room // (len(with_steps) - number))
        room = max(0, room - len((drawn[case_id] or "").encode()))
    return drawn


def _filters(results: Sequence[CaseResult]) -> Html:
    counts = count_statuses(results)
    buttons = [
        tag("button", f"all {len(results):,}", type="button", data_standing="", aria_pressed="true")
    ]
    buttons += [
        tag(
            "button",
            f"{standing.replace('_', ' ')} {count:,}",
            type="button",
            data_standing=standing,
            aria_pressed="false",
            title=STATUS_TEXTS[standing],
        )
        for standing, count in counts.items()
    ]
    tags = sorted({name for result in results for name in result.case.tags})
    options = [
        tag("option", "every tag", value=""),
        *(tag("option", name, value=name) for name in tags),
    ]
    sorts = [
        tag("option", label, value=value)
        for value, label in (
            ("rank", "worst first"),
            ("id", "by id"),
            ("change", "by change"),
            ("latency", "slowest first"),
        )
    ]
    return tag(
        "div",
        tag(
            "div", join(buttons), class_="standings", role="group", aria_label="filter by standing"
        ),
        tag(
            "input",
            type="search",
            id="search",
            placeholder="filter cases (press /)",
            aria_label="filter cases",
        ),
        tag("select", join(options), id="tag", aria_label="filter by tag"),
        tag("select", join(sorts), id="sort", aria_label="sort cases"),
        class_="filters",
    )


def _case(
    rank: int, result: CaseResult, units: dict[str, str], limit: int, steps: Html | None
) -> Html:
    case = result.case
    before = result.base_passed / result.base_trials if result.base_trials else None
    now = result.passed / result.scored if result.scored else 0.0
    latency = max((trial.output.latency_s for trial in result.trials), default=0.0)
    marks = [result.status.replace("_", " ")]
    if result.flaky and result.status != "flaky":
        marks.append("flaky")
    summary = tag(
        "summary",
        tag("span", ", ".join(marks), class_=f"mark {result.status}"),
        tag("span", case.id, class_="name"),
        tag("span", passes_change(result), class_="passes"),
        tag("span", reason_text(result)[:300], class_="because"),
    )
    return tag(
        "details",
        summary,
        tag("div", join(_details(result, units, limit, steps)), class_="detail"),
        class_="case",
        id=f"case-{case.id}",
        data_id=case.id,
        data_rank=str(rank),
        data_standing=result.status,
        data_flaky="1" if result.flaky else None,
        data_tags=" ".join(f"[{name}]" for name in case.tags),
        data_change=f"{now - before if before is not None else 0.0:.4f}",
        data_latency=f"{latency:.6f}",
    )


def _details(
    result: CaseResult, units: dict[str, str], limit: int, steps: Html | None
) -> Iterator[Html]:
    case = result.case
    place = f"{case.where}" if case.where.path else ""
    about = ", ".join(filter(None, (f"tags: {', '.join(case.tags)}" if case.tags else "", place)))
    yield tag(
        "p",
        STATUS_TEXTS[result.status],
        f"; {about}" if about else "",
        " ",
        tag("a", "link", href=f"#case-{case.id}", class_="link"),
        class_="about",
    )
    yield _block("asked", head(input_text(case), limit))
    if case.expected is not None:
        yield _block("expected", head(json_text(case.expected), limit))
    now = representative_trial(result.trials, passed=False)
    before = representative_trial(result.base, passed=True)
    yield from _answers(before, now, limit)
    if now is not None:
        if steps is not None:
            yield steps
        yield from (_score(score, units.get(score.metric, ""), limit) for score in now.scores)


def _answers(before: Trial | None, now: Trial | None, limit: int) -> Iterator[Html]:
    if now is None:
        yield tag("p", "not run", class_="about")
        return
    error = now.output.error
    text = head(answer_text(now.output), limit)
    if error is not None:
        yield _block("error", head(f"{error.kind}: {error.message}\n{error.detail}", limit))
    elif before is None or before.output.error is not None:
        yield _block("answered", text or "(empty)")
    else:
        then = head(answer_text(before.output), limit)
        if then == text:
            yield _block("answered, the same as in the baseline", text or "(empty)")
            return
        yield tag(
            "div",
            _block("in the baseline", then or "(empty)"),
            _block("now", text or "(empty)"),
            class_="sides",
        )
        yield tag("h4", "difference")
        yield tag("pre", word_diff(then, text), class_="difference")


def _block(title: str, text: str) -> Html:
    return tag("div", tag("h4", title), tag("pre", text), class_="block")


def _score(score: Score, unit: str, limit: int) -> Html:
    words = {
        True: "pass",
        False: "fail",
        None: score.state if score.state != "scored" else "measured",
    }
    word = words[score.passed]
    value = "" if score.value is None else value_cell(score.value, unit)
    verdicts = score.judgement.verdicts if score.judgement is not None else ()
    judge = score.judgement.judge if score.judgement is not None else ""
    return tag(
        "div",
        tag("span", word.replace("_", " "), class_=f"mark {word}"),
        " ",
        tag("b", score.metric),
        f" {value} ",
        tag("span", score.explanation[:limit], class_="because"),
        tag("ul", join(_verdict_item(verdict, limit) for verdict in verdicts))
        if verdicts
        else None,
        tag("p", f"judged by {judge}", class_="about") if judge else None,
        class_="score",
    )


def _verdict_item(verdict: CriterionVerdict, limit: int) -> Html:
    evidence = f" evidence: {verdict.evidence[:limit]}" if verdict.evidence else ""
    votes = f" (votes: {', '.join(verdict.votes)})" if verdict.votes else ""
    return tag(
        "li",
        tag("b", f"{verdict.criterion} = {verdict.level}"),
        f"{votes} {verdict.explanation[:limit]}",
        tag("q", evidence.strip()) if evidence else None,
    )
