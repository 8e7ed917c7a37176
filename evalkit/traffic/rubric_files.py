"""The rubrics that judge recorded answers, which have no reference; copies of those in `rubrics/`."""

from __future__ import annotations

from pathlib import Path

RUBRICS = ("groundedness", "helpfulness", "toxicity", "due_refusal")
"""The names of the rubrics that need no reference. `groundedness` needs a context."""


def rubric_path(name: str) -> Path:
    """Return the file of one of `RUBRICS`."""
    return Path(__file__).parent / "rubrics" / f"{name}.yaml"
