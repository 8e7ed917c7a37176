"""Turn exceptions into messages for the user and exit codes."""

from __future__ import annotations

import traceback

from evalkit import __version__
from evalkit.cli.distribution import find_conflict
from evalkit.core.errors import EXIT_BUG, EvalkitError, Interrupted, InvalidInput

_MAX_UNCOUNTED = 5


def describe_error(error: Exception) -> tuple[str, int]:
    """Return the message and the exit code of an error; include a traceback only for a bug.

    The message for a problem in a file starts with the file and line, as a compiler prints it.
    Other messages start with `evalkit:`.
    """
    if isinstance(error, InvalidInput):
        lines = [str(one) if one.where else f"evalkit: {one}" for one in error.problems]
        if len(lines) > _MAX_UNCOUNTED:
            # The first of many lines has scrolled away, so the last line says what they are.
            lines.append(
                f"evalkit: {len(lines):,} problems; nothing was done. Fix them all at once."
            )
        return "\n".join(lines), error.exit_code
    if isinstance(error, Interrupted):
        return f"evalkit: {error}", error.code
    if isinstance(error, EvalkitError):
        return f"evalkit: {error}", error.exit_code
    if isinstance(error, ImportError) and (error.name or "").startswith("evalkit"):
        # pip may have overwritten the package, so that a module is missing.
        conflict = find_conflict()
        if conflict:
            return f"evalkit: {error}: {conflict}", InvalidInput.exit_code
    trace = "".join(traceback.format_exception(error))
    return (
        f"{trace}This is a bug in evalkit {__version__}. Please report it with the traceback.",
        EXIT_BUG,
    )
