"""Record the baselines of several sets, one after another, whatever becomes of each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from evalkit.commands.batch import ErrorDescriber, stop_part
from evalkit.commands.batch_checks import CheckedRequest
from evalkit.core.context import Context
from evalkit.core.errors import EXIT_PASSED
from evalkit.core.source_files import display_path
from evalkit.report.baseline import RecordedBaseline
from evalkit.report.baselines import BaselinePart, RecordedBaselines
from evalkit.report.batch import SIGNALED, BatchPart


def record_baselines(
    checked: Sequence[CheckedRequest],
    record: Callable[[int], RecordedBaseline],
    log: Callable[[int, BatchPart], None],
    describe_error: ErrorDescriber,
    context: Context,
) -> RecordedBaselines:
    """Record the baseline of each set; a signal ends it.

    `record` records that of the set with a number, from 0, and `log` takes what became of it.
    """
    parts: list[BaselinePart] = []
    for number, each in enumerate(checked):
        path = display_path(each.request.path)
        stopped = BatchPart(label=each.name, path=path, exit_code=EXIT_PASSED, state="stopped")
        if parts and parts[-1].exit_code >= SIGNALED:
            code = parts[-1].exit_code
            problem = "not recorded, because the command was interrupted."
            parts.append(BaselinePart(path=path, exit_code=code, problem=problem))
            log(number, replace(stopped, state="not_run", exit_code=code, problem=problem))
            continue
        try:
            recorded = record(number)
        except KeyboardInterrupt:
            part = replace(stopped, exit_code=130, problem="interrupted.")
        except Exception as error:  # the other sets are recorded all the same
            part = stop_part(stopped, error, describe_error, context.say)
        else:
            parts.append(BaselinePart(path=path, exit_code=EXIT_PASSED, recorded=recorded))
            log(number, replace(stopped, state="decided"))
            continue
        parts.append(BaselinePart(path=path, exit_code=part.exit_code, problem=part.problem))
        log(number, part)
    return RecordedBaselines(parts=tuple(parts))
