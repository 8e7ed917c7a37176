"""An exception as what the user reads and the code the process ends with."""

from __future__ import annotations

import traceback

from evalkit import __version__
from evalkit.core.errors import EXIT_BUG, EvalkitError, Interrupted, InvalidInput


def describe_error(error: Exception) -> tuple[str, int]:
    """The message and the exit code; only for a bug of evalkit's own there is a traceback.

    What has a place in a file leads with it, as compilers and linters do; the rest with our name.
    """
    if isinstance(error, InvalidInput):
        lines = [str(one) if one.where else f"evalkit: {one}" for one in error.problems]
        return "\n".join(lines), error.exit_code
    if isinstance(error, Interrupted):
        return f"evalkit: {error}", error.code
    if isinstance(error, EvalkitError):
        return f"evalkit: {error}", error.exit_code
    trace = "".join(traceback.format_exception(error))
    return (
        f"{trace}This is a bug in evalkit {__version__}; please report it with the above.",
        EXIT_BUG,
    )
