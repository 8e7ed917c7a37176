"""Run several runs one after another, and collect their reports, whatever becomes of each."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from evalkit.core.context import Context
from evalkit.core.errors import EXIT_BUG, EmptyEvalSet, NothingSelected, Undecidable
from evalkit.report.batch import SIGNALED, Batch, BatchPart, PartState, choose_labels
from evalkit.report.model import Report
from evalkit.store.batches import BatchEntry

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

    `announce` gets each part that begins, with its number, and `report` each one that ended. `record` gets
    each part in the end, with its number from 0, also those that did not begin. With `exit_first`, no part
    begins after one that did not pass.
    """

    announce: Callable[[PlannedPart, int], None] | None = None
    report: Callable[[BatchPart], None] | None = None
    record: Callable[[int, BatchPart], None] | None = None
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
            part = _skip(each, unfinished)
        else:
            if options.announce is not None:
                options.announce(each, number)
            part = _run_part(each, describe_error, context)
            if options.report is not None:
                options.report(part)
        if options.record is not None:
            options.record(number - 1, part)
        parts.append(part)
        if unfinished is not None:
            continue
        has_failed = part.exit_code and part.state != "nothing_selected"
        if part.exit_code >= SIGNALED or (options.exit_first and has_failed):
            unfinished = part
    return Batch(parts=tuple(parts), duration_s=(context.now() - start).total_seconds())


def collect_runs(
    entries: Sequence[BatchEntry],
    read: Callable[[str], Report],
    describe_error: ErrorDescriber,
    context: Context,
) -> Batch:
    """Return the reports of stored runs as one batch. `read` returns that of one, or raises why there is none."""
    planned = [
        PlannedPart(label=entry.label, path=entry.path, run=partial(read, entry.run_id))
        for entry in entries
        if entry.has_run
    ]
    parts = iter(run_parts(planned, describe_error, BatchOptions(), context).parts)
    return _join([next(parts) if entry.has_run else _without_run(entry) for entry in entries])


def _without_run(entry: BatchEntry) -> BatchPart:
    """Return a set whose run did not begin, or was stopped; it is never green."""
    states: dict[str, PartState] = {"not_run": "not_run", "nothing_selected": "nothing_selected"}
    return BatchPart(
        label=entry.label,
        path=entry.path,
        # A signal ended that command, not this one.
        exit_code=entry.exit_code if 0 < entry.exit_code < SIGNALED else Undecidable.exit_code,
        state=states.get(entry.state, "stopped"),
        problem=entry.problem,
    )


def _join(parts: Sequence[BatchPart]) -> Batch:
    """Return stored runs as one batch: of sets, or of runs if a set has several."""
    headers = [part.report.run.header for part in parts if part.report]
    is_of_sets = len({header.evalset_path for header in headers}) == len(headers)
    return Batch(parts=_label_by_set(parts), noun="set" if is_of_sets else "run")


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


def collect_reports(entries: Sequence[BatchEntry], read: Callable[[str], Report]) -> Batch:
    """Return the reports of stored runs as one batch; what `read` raises ends it."""
    parts = []
    for entry in entries:
        part = _without_run(entry)
        if entry.has_run:
            report = read(entry.run_id)
            code = report.gate_result.exit_code
            part = replace(part, exit_code=code, state="decided", report=report)
        parts.append(part)
    return _join(parts)


def _label_by_set(parts: Sequence[BatchPart]) -> tuple[BatchPart, ...]:
    """Return the parts, labeled by their sets, or by their runs where a set has several."""
    headers = [part.report.run.header if part.report else None for part in parts]
    names = [
        (header.evalset, header.evalset_path, header.id) if header else (part.label,) * 3
        for header, part in zip(headers, parts, strict=True)
    ]
    return tuple(
        replace(part, label=label, path=header.evalset_path if header else part.path)
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
        return stop_part(part, error, describe_error, context.say)
    return replace(part, exit_code=report.gate_result.exit_code, state="decided", report=report)


def stop_part(
    part: BatchPart, error: Exception, describe_error: ErrorDescriber, say: Callable[[str], None]
) -> BatchPart:
    """Return a part that an error ended, and say the traceback if it is a bug."""
    message, code = describe_error(error)
    if isinstance(error, NothingSelected) and not isinstance(error, EmptyEvalSet):
        part = replace(part, state="nothing_selected")
    lines = [line.removeprefix("evalkit: ") for line in message.splitlines()]
    if code == EXIT_BUG:
        say(message)
        lines = [f"{lines[-1]} The traceback is above the report."]
    return replace(part, exit_code=code, problem="\n".join(lines))
