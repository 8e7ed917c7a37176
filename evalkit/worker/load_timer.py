"""Give up loading a target that takes too long, and say where in the user's code it is."""

from __future__ import annotations

import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from evalkit.worker.installed import InstalledSoftware
from evalkit.worker.pipe import Json
from evalkit.worker.user_code import WORKER_FOLDER, LoadFailure

SHOWN_FRAMES = 8


@contextmanager
def limit_load_time(setup: Json, give_up: Callable[[LoadFailure], None]) -> Iterator[None]:
    """Call `give_up` in another thread if the code in this context takes longer than allowed."""
    loading = threading.get_ident()
    timer = threading.Timer(setup["load_timeout_s"], lambda: give_up(_describe(setup, loading)))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _describe(setup: Json, loading: int) -> LoadFailure:
    installed = InstalledSoftware([Path(setup["base"]), Path(setup["root"])])
    stack = traceback.extract_stack(sys._current_frames().get(loading))  # noqa: SLF001 - no other way
    frames = [
        frame
        for frame in stack
        if not frame.filename.startswith((WORKER_FOLDER, "<")) and frame.filename != "<string>"
    ]
    own = [frame for frame in frames if frame.filename not in installed]
    place = f" It was at {own[-1].filename}:{own[-1].lineno}." if own else ""
    advice = "Do the slow work in the first call"
    if setup["kind"] == "agent":
        advice += ", or raise 'load_timeout_s' under 'python'"
    message = f"it was not loaded within {setup['load_timeout_s']:g} s.{place} {advice}."
    detail = "".join(traceback.format_list(frames[-SHOWN_FRAMES:])).rstrip()
    return LoadFailure(message, detail=detail)
