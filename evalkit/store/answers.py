"""Read `answers.jsonl`: the answers of an unfinished run that may not be scored yet.

A judge may take longer than the agent, so the agent's paid answers are stored before the judge is asked.
"""

from __future__ import annotations

from pathlib import Path

from evalkit.core.errors import StoreError
from evalkit.core.files import iter_complete_lines
from evalkit.core.trial import Trial
from evalkit.store.trial_lines import read_full_trial

ANSWERS_FILE = "answers.jsonl"


def load_answers(folder: Path) -> tuple[Trial, ...]:
    """Return the answers of an unfinished run, scored or not, without an incomplete last line.

    Raises:
        StoreError: a line is not an answer.
    """
    path = folder / ANSWERS_FILE
    found = []
    for number, line in iter_complete_lines(path):
        try:
            found.append(read_full_trial(line))
        except ValueError as error:
            raise StoreError(
                f"{path}:{number}: not an answer: {error}. "
                f"Delete the line; the agent is then asked again."
            ) from error
    return tuple(found)
