"""The process: the console script, and `python -m evalkit`."""

from __future__ import annotations

import gc

GC_THRESHOLD = 50_000
"""So many more objects alive than before call for a look for garbage; Python's own 700 costs a tenth of a
start, because what is imported stays."""


def main() -> None:
    """Run the command line, and end with its exit code."""
    gc.set_threshold(GC_THRESHOLD)
    try:
        from evalkit.cli.app import main as run_command_line  # noqa: PLC0415 - typer, and the garbage it leaves

        run_command_line()
    finally:
        # A process that ends has no use for a last look through all that the openai client and numpy
        # brought along, which takes a quarter of a second.
        gc.freeze()


if __name__ == "__main__":
    main()
