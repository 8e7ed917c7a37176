"""Show whether a gate is worth it, as text and as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from evalkit.core.format import format_count
from evalkit.core.safe_text import format_json
from evalkit.report.screen import Screen, align_columns, heading, join_sections
from evalkit.traffic.validation import (
    MIN_RUNS,
    MIN_VERSIONS,
    MetricValidity,
    ThresholdUse,
    Validation,
)


def validity_json(validation: Validation) -> str:
    """Return the validation as JSON."""
    plain = msgspec.to_builtins(validation)
    for each, use in zip(plain["thresholds"], validation.thresholds, strict=True):
        each["never_mattered"] = use.never_mattered
    return format_json({"schema": "evalkit.traffic_validation/v1", **plain})


def validity_text(validation: Validation, screen: Screen) -> str:
    """Return the validation for people."""
    sections: list[Sequence[str]] = [
        screen.fold(_lead(validation)),
        [
            heading(f"Versions in production, by {validation.outcome}", screen),
            *align_columns(_list_versions(validation), screen, shrinkable={0: 10}, right=(1, 2, 3)),
        ],
    ]
    if validation.metrics:
        rows = [_describe_metric(each) for each in validation.metrics]
        titles = ("metric", "AUC", "90 % interval", "versions", "p", "")
        columns = align_columns(rows, screen, titles=titles, shrinkable={0: 12}, right=(1, 2, 3, 4))
        sections.append([heading("What the metrics predict", screen), *columns])
    if validation.thresholds:
        uses = [_describe_threshold(each) for each in validation.thresholds]
        heads = ("threshold", "runs", "failed", "decided", "")
        columns = align_columns(
            uses, screen, titles=heads, shrinkable={0: 12, 4: 20}, right=(1, 2, 3)
        )
        sections.append([heading("What the thresholds decided", screen), *columns])
    sections.append([line for note in validation.notes for line in screen.fold(note)])
    return join_sections(sections)


def _lead(validation: Validation) -> str:
    joined = sum(bool(each.metrics) for each in validation.versions)
    of = f"{joined} of {format_count(len(validation.versions), 'version')} in production"
    if joined < MIN_VERSIONS:
        return (
            f"TOO FEW VERSIONS: {of} {'has' if joined == 1 else 'have'} stored runs of {validation.evalset}, and "
            f"{MIN_VERSIONS} are needed to distinguish a metric that predicts {validation.outcome} from chance."
        )
    found = [each.metric for each in validation.metrics if each.finding == "predicts"]
    if found:
        return f"{', '.join(found)} {'predicts' if len(found) == 1 else 'predict'} {validation.outcome}, by {of}."
    return f"No metric of {validation.evalset} is proven to predict {validation.outcome}, by {of}."


def _list_versions(validation: Validation) -> Iterator[tuple[str, str, str, str]]:
    for each in validation.versions:
        runs = format_count(each.runs, "run") if each.runs else "no run"
        yield (
            each.version,
            f"{100 * each.rate:.1f}%",
            f"{each.requests:,.0f} requests",
            f"{format_count(each.users, 'user')}, {runs}",
        )


def _describe_metric(each: MetricValidity) -> tuple[str, ...]:
    if each.auc is None or each.low is None or each.high is None or each.p_value is None:
        return (each.metric, "", "", str(each.versions), "", each.finding)
    interval = f"{each.low:.2f} to {each.high:.2f}"
    return (
        each.metric, f"{each.auc:.2f}", interval, str(each.versions), f"{each.p_value:.2g}", each.finding,
    )  # fmt: skip


def _describe_threshold(each: ThresholdUse) -> tuple[str, ...]:
    limit = "" if each.allowed is None else f", {each.kind} {each.allowed:g}"
    words = {True: "never mattered", False: "", None: f"too few runs, {MIN_RUNS} are needed"}
    notes = [words[each.never_mattered]]
    if each.deployed:
        notes.append(f"deployed all the same: {', '.join(each.deployed[:3])}")
    return (
        f"{each.name}{limit}",
        str(each.runs),
        str(each.outcomes.get("fail", 0)),
        str(each.decided),
        "; ".join(filter(None, notes)),
    )
