"""Show a sample, as text and as JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from evalkit.core.format import format_count
from evalkit.core.literals import Json
from evalkit.core.safe_text import format_json
from evalkit.report.screen import Screen, align_columns, join_sections
from evalkit.traffic.sample_cases import NO_ANSWER, NO_CONTEXT, RequestVerdict, SampledCase
from evalkit.traffic.sampling import RANDOM, Sample

_MAX_DUPLICATES = 5
_MAX_LISTED = 50
_INPUT_CHARS = 200


@dataclass(frozen=True, kw_only=True, slots=True)
class SampleResult:
    """A sample, and what was made of it.

    `redacted` counts what was replaced in the texts that leave the store, by kind. The first of the `files`
    is the set.
    """

    traffic: str
    sample: Sample
    purpose: Literal["list", "cases", "judge"]
    cases: tuple[SampledCase, ...] = ()
    verdicts: tuple[RequestVerdict, ...] = ()
    redacted: Counter[str] = field(default_factory=Counter)
    known_cases: int = 0
    files: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()


def sample_json(result: SampleResult) -> str:
    """Return a sample as JSON."""
    verdicts = result.verdicts or (RequestVerdict("listed"),) * len(result.sample.requests)
    return format_json(
        {
            "schema": "evalkit.traffic_sample/v1",
            "sample": result.sample.id,
            "traffic": result.traffic,
            "purpose": result.purpose,
            "seed": result.sample.seed,
            "strata": [
                {
                    "name": each.name,
                    "sessions": each.units,
                    "requests": each.requests,
                    "drawn_sessions": each.drawn,
                    "pi": each.chance,
                }
                for each in result.sample.strata
            ],
            "left_out": result.sample.left_out,
            "requests": [
                _request_json(result, number, verdict) for number, verdict in enumerate(verdicts)
            ],
            "cases": len(result.cases),
            "redacted": dict(result.redacted),
            "files": list(result.files),
        }
    )


def _request_json(result: SampleResult, number: int, verdict: RequestVerdict) -> dict[str, Json]:
    request = result.sample.requests[number]
    return {
        "request": request.row["request_id"],
        "session": request.row["session"],
        "day": str(request.row["day"]),
        "stratum": request.stratum,
        "reasons": list(request.reasons),
        "pi": request.chance,
        "verdict": verdict.verdict,
        "decided_by": verdict.decided_by,
    }


def sample_text(result: SampleResult, screen: Screen) -> str:
    """Return a sample for people: how it was drawn, what was left out, and what to do next."""
    sample = result.sample
    sessions = sum(each.drawn for each in sample.strata)
    head = (
        f"Sample {sample.id} of {result.traffic}: {format_count(len(sample.requests), 'request')} of "
        f"{format_count(sessions, 'session')}, seed {sample.seed}."
    )
    rows = [
        (
            each.name,
            f"{each.drawn:,}",
            f"{each.units:,}",
            f"{each.requests:,}",
            f"{each.chance:.4g}",
        )
        for each in sample.strata
    ]
    titles = ("drawn by", "sessions", "of", "requests", "probability")
    sections = [
        screen.fold(head),
        align_columns(rows, screen, titles=titles, shrinkable={0: 8}, right=(1, 2, 3, 4)),
        screen.fold_all(_list_notes(result), hang="  "),
    ]
    if result.purpose == "list":
        sections.append(_list_requests(result, screen))
    sections.append(screen.fold_all(_list_steps(result), hang="    "))
    return join_sections(sections)


def _list_notes(result: SampleResult) -> Iterator[str]:
    sample = result.sample
    if all(each.name != RANDOM for each in sample.strata) and sample.left_out:
        yield (
            f"{format_count(sample.left_out, 'request')} of traffic could not be drawn. Without random in "
            "--by, the sample says nothing about traffic as a whole."
        )
    counts = Counter(each.verdict for each in result.verdicts)
    if counts[NO_ANSWER]:
        yield f"{format_count(counts[NO_ANSWER], 'request')} without an answer left out."
    if counts[NO_CONTEXT]:
        yield f"{format_count(counts[NO_CONTEXT], 'request')} without a context left out."
    pairs = zip(sample.requests, result.verdicts, strict=False)
    near = [(each, verdict) for each, verdict in pairs if verdict.decided_by != "evalkit"]
    if near:
        yield f"Left out {format_count(len(near), 'near-duplicate')}:"
    for request, verdict in near[:_MAX_DUPLICATES]:
        question = str(request.row["input"])[:60]
        yield f"  {question!r}: {verdict.verdict.removeprefix('near-')}"
    if len(near) > _MAX_DUPLICATES:
        yield f"  and {len(near) - _MAX_DUPLICATES:,} more"
    if result.cases:
        found = [f"{count:,} {kind}" for kind, count in result.redacted.most_common() if count]
        yield (
            f"Replaced again: {', '.join(found) or 'nothing'}. Names and addresses in free text are not "
            "recognized."
        )


def _list_requests(result: SampleResult, screen: Screen) -> list[str]:
    shown = result.sample.requests[:_MAX_LISTED]
    rows = [
        (
            str(each.row["request_id"]),
            str(each.row["ts"])[:16],
            each.stratum,
            str(each.row["input"])[:_INPUT_CHARS],
        )
        for each in shown
    ]
    lines = align_columns(
        rows,
        screen,
        titles=("request", "time", "drawn by", "input"),
        shrinkable={0: 12, 3: 12},
    )
    more = len(result.sample.requests) - len(shown)
    return [*lines, f"  and {more:,} more; --format json lists all"] if more else lines


def _list_steps(result: SampleResult) -> Iterator[str]:
    if result.purpose == "list":
        name = result.traffic
        yield f"New cases: evalkit traffic sample {name} --to evalsets/from_traffic.yaml"
        yield f"Judge and review: evalkit traffic sample {name} --judge helpfulness --judge toxicity"
    elif not result.files:
        yield "No case is left: all resemble known cases. Draw more with --n, or with another --seed."
    elif result.purpose == "cases":
        drafts = sum(bool(case.answer) for case in result.cases)
        yield (
            f"Wrote {result.files[0]}: {format_count(len(result.cases), 'case')}, {drafts:,} with a draft. "
            "Read each, correct its draft, and rename it to `expected`, or delete it."
        )
        yield f"Run: evalkit run {result.files[0]}"
    else:
        yield f"Wrote {result.files[0]}: {format_count(len(result.cases), 'answer')}."
        yield f"Judge: evalkit run {result.files[0]}"
        metric = f" --metric {result.metrics[0]}" if len(result.metrics) > 1 else ""
        yield f"Review: evalkit review latest{metric}"
        yield "Estimate for all traffic: evalkit traffic estimate latest"
