"""Write sampled cases as an eval set: new cases for the agent, or recorded answers to be judged."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence

from evalkit.core.literals import Json
from evalkit.evalset.yaml_scalars import format_scalar, quote_scalar, replace_lone_surrogates
from evalkit.traffic.sample_cases import SampledCase

RECORDING = "answers.jsonl"

_CASES = """\
# Requests from production: {traffic}, sample {sample}. Secrets and personal data were replaced, but names
# and addresses in free text are not recognized. Read every case before you commit it.
#
# `draft` is what the agent answered. Nothing compares with it, and a run is not decided while there are
# drafts. Correct each and rename it to `expected`, or delete it. Then add metrics that use `expected`, such
# as `- exact_match`, `- contains: {{all: true}}`, or a rubric with a reference.
#
# A sample that has more failures than traffic says nothing about the rates of traffic.
evalset: {name}
description: Requests from production that resemble no other case.
{agent}{judge}
metrics:
{metrics}
gate:
  - {{metric: toxicity, max: 0.05, test: point}}

cases:
"""
_JUDGED = """\
# Answers from production: {traffic}, sample {sample}. They are judged as they were recorded, and `evalkit
# traffic estimate` estimates what all of traffic would score. Failures may be more frequent here than in
# traffic: the means of a report are those of these answers only.
evalset: {name}
description: Recorded answers from production, to be judged and reviewed.
agent:
  recorded: {recording}
{judge}
metrics:
{metrics}
# Wide limits: a run passes once every answer has a verdict of a judge that got its controls right.
gate:
{gate}

cases:
"""


def format_cases(
    cases: Sequence[SampledCase],
    *,
    name: str,
    agent: Json,
    judge: Json,
    rubrics: Sequence[str],
) -> str:
    """Return a set with the cases, their answers as drafts.

    `agent` and `judge` are sections of the set, None where the project file has them. `rubrics` are paths
    from the set's folder.
    """
    head = _CASES.format(
        traffic=cases[0].provenance["traffic"],
        sample=cases[0].provenance["sample"],
        name=format_scalar(name, indent=0),
        agent=_format_section("agent", agent),
        judge=_format_section("judge", judge).rstrip("\n"),
        metrics=_format_metrics(rubrics),
    )
    return head + "".join(map(_format_drafted, cases))


def format_judged(
    cases: Sequence[SampledCase],
    *,
    name: str,
    judge: Json,
    rubrics: Mapping[str, bool],
    names: Sequence[str],
) -> str:
    """Return a set of recorded answers.

    `rubrics` has by path whether a higher score is better, and `names` their names in the same order.
    """
    limits = (
        f"  - {{metric: {format_scalar(each, indent=0)}, {'min: 0.01' if better else 'max: 0.99'}, test: point}}"
        for each, better in zip(names, rubrics.values(), strict=True)
    )
    head = _JUDGED.format(
        traffic=cases[0].provenance["traffic"],
        sample=cases[0].provenance["sample"],
        name=format_scalar(name, indent=0),
        recording=RECORDING,
        judge=_format_section("judge", judge).rstrip("\n"),
        metrics=_format_metrics(list(rubrics)),
        gate="\n".join(limits),
    )
    return head + "".join(map(_format_recorded, cases))


def format_recording(cases: Sequence[SampledCase]) -> str:
    """Return the answers as JSONL for the agent kind `recorded`."""
    return "".join(json.dumps(_record(case), ensure_ascii=True) + "\n" for case in cases)


def _record(case: SampledCase) -> dict[str, Json]:
    latency_ms, cost = case.row.get("latency_ms"), case.row.get("cost_usd")
    return {
        "case": case.id,
        "output": case.answer,
        **({} if latency_ms is None or latency_ms < 0 else {"latency_s": latency_ms / 1000}),
        **({} if cost is None or cost < 0 else {"cost_usd": cost}),
    }


def _format_section(key: str, value: Json) -> str:
    if value is None:
        return ""
    text = format_scalar(value, indent=0) if isinstance(value, str) else json.dumps(value)
    return f"{key}: {text}\n"


def _format_metrics(rubrics: Sequence[str]) -> str:
    return "\n".join(f"  - rubric: {format_scalar(path, indent=0)}" for path in rubrics)


def _format_drafted(case: SampledCase) -> str:
    # A failed request has no answer, and its case is as unread as the others.
    draft = _format_text(case.answer, 6) if case.answer else " # The agent gave no answer."
    return _format_case(case, [f"    draft: {draft}"])


def _format_recorded(case: SampledCase) -> str:
    metadata = (
        ["    metadata:", f"      context: {_format_text(case.context, 8)}"] if case.context else []
    )
    return _format_case(case, metadata)


def _format_case(case: SampledCase, extra: Sequence[str]) -> str:
    lines = [
        f"  - id: {case.id}",
        *_format_input(case),
        *extra,
        f"    tags: [{', '.join(case.tags)}]",
        f"    cluster: {_format_text(case.cluster, 6)}",
        f"    provenance: {_format_mapping(case.provenance)}",
    ]
    return "\n".join(lines) + "\n"


def _format_input(case: SampledCase) -> Iterator[str]:
    if isinstance(case.input, str):
        yield f"    input: {_format_text(case.input, 6)}"
        return
    yield "    input:"
    for turn in case.input:
        yield f"      - role: {turn.role}"
        yield f"        content: {_format_text(turn.content, 10)}"


def _format_text(text: str, indent: int) -> str:
    return format_scalar(replace_lone_surrogates(text), indent=indent)


def _format_mapping(values: Mapping[str, Json]) -> str:
    parts = (
        f"{key}: {quote_scalar(value) if isinstance(value, str) else json.dumps(value)}"
        for key, value in values.items()
    )
    return f"{{{', '.join(parts)}}}"
