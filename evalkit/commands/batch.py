"""Run several runs one after another, and collect their reports, whatever becomes of each."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from evalkit.core.context import Context
from evalkit.core.errors import EXIT_BUG, EmptyEvalSet, NothingSelected, Undecidable
from evalkit.report.batch import SIGNALED, Batch, BatchPart, choose_labels
from evalkit.report.model import Report

ErrorDescriber = Callable[[Exception], tuple[str, int]]
"""Returns the message and the exit code of an exception."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PlannedPart:
    """One run of a batch, before it begins: its unique label, its eval set, and the function that runs it."""

    label: str
    path: str
    run: Callable[[], Report]


@dataclass(frozen=True, kw_only=True, slots=True)
class BatchOptions:
    """What a batch does besides its runs.

    `announce` gets each part that begins, with its number, and `report` each one that ended. With
    `exit_first`, no part begins after one that did not pass.
    """

    announce: Callable[[PlannedPart, int], None] | None = None
    report: Callable[[BatchPart], None] | None = None
    exit_first: bool = False


def run_parts(
    planned: Sequence[PlannedPart],
    describe_error: ErrorDescriber,
    options: BatchOptions,
    context: Context,
) -> Batch:
    """Run all parts in order. A part that fails does not stop the others; a signal does."""
    start = context.now()
    parts: list[BatchPart] = []
    unfinished: BatchPart | None = None
    for number, each in enumerate(planned, start=1):
        if unfinished is not None:
            parts.append(_skip(each, unfinished))
            continue
        if options.announce is not None:
            options.announce(each, number)
        part = _run_part(each, describe_error, context)
        if options.report is not None:
            options.report(part)
        parts.append(part)
        has_failed = part.exit_code and part.state != "nothing_selected"
        if part.exit_code >= SIGNALED or (options.exit_first and has_failed):
            unfinished = part
    return Batch(parts=tuple(parts), duration_s=(context.now() - start).total_seconds())


def collect_runs(
    refs: Sequence[str],
    read: Callable[[str], Report],
    describe_error: ErrorDescriber,
    context: Context,
) -> Batch:
    """Return the reports of stored runs as one batch. `read` returns that of one, or raises why there is none."""
    planned = [PlannedPart(label=ref, path="", run=partial(read, ref)) for ref in refs]
    parts = run_parts(planned, describe_error, BatchOptions(), context).parts
    return Batch(parts=_label_by_set(parts), noun="run")


def add_missing(batch: Batch, missing: Sequence[str]) -> Batch:
    """Return a batch with sets that have no run, each given as `LABEL: REASON`; a label may be a JSON string."""
    parts = [
        BatchPart(
            label=label or "set",
            path="",
            exit_code=Undecidable.exit_code,
            state="stopped",
            problem=reason.strip() or "no reason is known.",
        )
        for label, reason in map(_split_label, missing)
    ]
    return replace(batch, parts=(*batch.parts, *parts))


def _split_label(text: str) -> tuple[str, str]:
    try:
        label, end = json.JSONDecoder().raw_decode(text)
    except ValueError:
        label, end = None, 0
    if isinstance(label, str) and text[end:].startswith(":"):
        return label, text[end + 1 :]
    plain, _, reason = text.partition(": " if ": " in text else ":")
    return plain, reason


def collect_reports(refs: Sequence[str], read: Callable[[str], Report]) -> Batch:
    """Return the reports of stored runs as one batch; what `read` raises ends it."""
    reports = [(ref, read(ref)) for ref in refs]
    parts = [
        BatchPart(label=ref, path="", exit_code=report.gate_result.exit_code, report=report)
        for ref, report in reports
    ]
    return Batch(parts=_label_by_set(parts), noun="run")


def _label_by_set(parts: Sequence[BatchPart]) -> tuple[BatchPart, ...]:
    """Return the parts, labeled by their sets, or by their runs where a set has several."""
    headers = [part.report.run.header if part.report else None for part in parts]
    names = [
        (header.evalset, header.evalset_path, header.id) if header else (part.label,) * 3
        for header, part in zip(headers, parts, strict=True)
    ]
    return tuple(
        replace(part, label=label, path=header.evalset_path if header else "")
        for part, header, label in zip(parts, headers, choose_labels(names), strict=True)
    )


def _skip(planned: PlannedPart, before: BatchPart) -> BatchPart:
    """Return a part that did not begin because of the one `before`; it is never green."""
    is_signal = before.exit_code >= SIGNALED
    why = (
        "the command was interrupted" if is_signal else f"{before.label} did not pass (--exitfirst)"
    )
    return BatchPart(
        label=planned.label,
        path=planned.path,
        exit_code=before.exit_code if is_signal else Undecidable.exit_code,
        state="not_run",
        problem=f"not run, because {why}.",
    )


def _run_part(planned: PlannedPart, describe_error: ErrorDescriber, context: Context) -> BatchPart:
    part = BatchPart(label=planned.label, path=planned.path, exit_code=3, state="stopped")
    try:
        report = planned.run()
    except KeyboardInterrupt:  # between two runs
        return replace(part, exit_code=130, problem="interrupted.")
    except Exception as error:  # the other parts run all the same
        message, code = describe_error(error)
        if isinstance(error, NothingSelected) and not isinstance(error, EmptyEvalSet):
            part = replace(part, state="nothing_selected")
        if code == EXIT_BUG:
            context.say(message)
            message = f"{message.splitlines()[-1]} The traceback is above the report."
        lines = [line.removeprefix("evalkit: ") for line in message.splitlines()]
        return replace(part, exit_code=code, problem="\n".join(lines))
    return replace(part, exit_code=report.gate_result.exit_code, state="decided", report=report)
