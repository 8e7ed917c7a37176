"""Record the baselines of several sets, one after another, whatever becomes of each."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from evalkit.commands.batch import ErrorDescriber
from evalkit.commands.batch_checks import CheckedRequest
from evalkit.core.errors import EXIT_PASSED
from evalkit.core.source_files import display_path
from evalkit.report.baseline import RecordedBaseline
from evalkit.report.baselines import BaselinePart, RecordedBaselines
from evalkit.report.batch import SIGNALED
from evalkit.runner.records import RunRequest


def record_baselines(
    checked: Sequence[CheckedRequest],
    record: Callable[[RunRequest, str], RecordedBaseline],
    describe_error: ErrorDescriber,
) -> RecordedBaselines:
    """Record the baseline of each set; a signal ends it. `record` takes a request and the set's name."""
    parts: list[BaselinePart] = []
    for each in checked:
        path = display_path(each.request.path)
        if parts and parts[-1].exit_code >= SIGNALED:
            code = parts[-1].exit_code
            problem = "not recorded, because the command was interrupted."
            parts.append(BaselinePart(path=path, exit_code=code, problem=problem))
            continue
        try:
            recorded = record(each.request, each.name)
        except KeyboardInterrupt:
            parts.append(BaselinePart(path=path, exit_code=130, problem="interrupted."))
        except Exception as error:  # the other sets are recorded all the same
            message, code = describe_error(error)
            problem = message.removeprefix("evalkit: ")
            parts.append(BaselinePart(path=path, exit_code=code, problem=problem))
        else:
            parts.append(BaselinePart(path=path, exit_code=EXIT_PASSED, recorded=recorded))
    return RecordedBaselines(parts=tuple(parts))
