"""The entry point of the console script and of `python -m evalkit`."""

from __future__ import annotations

import gc
import sys

# `python -m` puts the current folder first. Its files must not replace modules that evalkit imports.
if __name__ == "__main__" and not sys.flags.safe_path:
    del sys.path[0]

GC_THRESHOLD = 50_000
"""New objects between two garbage collections. Python's default of 700 adds a tenth to the start-up
time and frees nothing, because imported modules stay in memory."""

EXIT_ENVIRONMENT = 2
"""The same as `InvalidInput.exit_code`. Its module may be the one that cannot be imported."""


def main() -> None:
    """Run the command line and exit with its exit code."""
    gc.set_threshold(GC_THRESHOLD)
    try:
        from evalkit.cli.app import main as run_command_line  # noqa: PLC0415 - after the threshold
        from evalkit.cli.private_process import PROCESS  # noqa: PLC0415

        PROCESS.own()
        run_command_line()
    except ImportError as error:
        if (error.name or "").partition(".")[0] != "evalkit":
            raise
        sys.stderr.write(f"evalkit: {error}: {explain_damage()}\n")
        sys.exit(EXIT_ENVIRONMENT)
    finally:
        # Skip the collection at exit, which takes 0.25 s when openai and numpy are loaded.
        gc.freeze()


def explain_damage() -> str:
    """Return why a module of evalkit may be missing, and how to fix it."""
    try:
        from evalkit.cli.distribution import find_conflict  # noqa: PLC0415 - only on an error

        conflict = find_conflict()
    except ImportError:
        conflict = None
    return conflict or (
        "the installation is damaged. Another distribution may have replaced files of evalkit-ci. "
        "Run: pip uninstall evalkit; pip install --force-reinstall evalkit-ci"
    )


if __name__ == "__main__":
    main()
