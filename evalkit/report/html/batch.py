"""Render several runs as an HTML page with a row for each run, and a link to its own page."""

from __future__ import annotations

import re
from pathlib import Path

from evalkit.core.format import format_count
from evalkit.report.batch import Batch, BatchPart
from evalkit.report.html.page import render_page


def render_batch_html(batch: Batch, *, stem: str = "evalkit-report") -> str:
    """Render several runs as one page; `stem` begins the names of the pages of the runs."""
    rows = []
    for number, part in enumerate(batch.parts):
        shown = part.headline
        rows.append(
            {
                "outcome": part.report.gate_result.outcome if part.report else "undecided",
                "word": part.word,
                "label": part.label,
                "link": name_part_page(batch, number, stem) if part.report else "",
                "name": shown.rule if shown else "",
                "values": shown.join("→") if shown else "",
                "held": part.held,
                "reason": _explain(part),
            }
        )
    return render_page(
        "batch.html.j2",
        title=f"{batch.word} {batch.reason}",
        outcome=batch.outcome,
        outcome_word=batch.word,
        heading=format_count(len(batch.parts), batch.noun),
        reason=f"{batch.reason[:1].upper()}{batch.reason[1:]}.",
        facts=batch.facts,
        titles=("result", batch.noun, "threshold", "baseline → now", "hold"),
        rows=rows,
        hints=batch.hints,
        notes=batch.notes,
    )


def _explain(part: BatchPart) -> str:
    """Return why a run did not pass, in short if its page has the reason and its row the numbers."""
    if part.report is None or part.headline is None:
        return part.reason if part.word != "PASS" else ""
    if part.word == "INCONCLUSIVE":
        return "too few cases or trials to prove a pass or a failure"
    return ""


def name_part_page(batch: Batch, number: int, stem: str) -> str:
    """Return the file name of the page of one run, in the folder of the page of all."""
    plain = re.sub(r"[^A-Za-z0-9]+", "-", Path(batch.parts[number].label).stem).strip("-")[:60]
    return f"{stem}-{number + 1}-{plain or batch.noun}.html"
