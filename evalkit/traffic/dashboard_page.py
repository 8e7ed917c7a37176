"""Render the dashboard of traffic as one page: plots over time, tables, requests, and filters."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from markupsafe import Markup

from evalkit.core.format import format_count
from evalkit.core.safe_text import escape_unsafe
from evalkit.report.html.page import render_page
from evalkit.report.html.views import true_minus
from evalkit.traffic.dashboard_plots import (
    PanelScale,
    about_text,
    draw_panel,
    fit_panel,
    list_ticks,
    now_text,
    place_panel,
    step_text,
)
from evalkit.traffic.dashboard_records import (
    Dashboard,
    DashboardPanel,
    NotableRequest,
    PanelValue,
    TrafficSlice,
)

MAX_VALUES = 60_000
"""Values of all slices together, about 3 MB. A slice that does not fit is named as missing."""


def render_dashboard(dashboard: Dashboard) -> str:
    """Render the dashboard as one self-contained page.

    Every number is computed before: the script of the page only chooses among the slices.
    """
    whole = dashboard.slices[0]
    others = fit_slices(dashboard)
    own = {panel.name: fit_panel([panel], with_intervals=True) for panel in whole.panels}
    shared = {
        panel.name: fit_panel([panel, *_same_panel(panel.name, others)], with_intervals=False)
        for panel in whole.panels
    }
    values = {dimension: list(known) for dimension, known in dashboard.dimensions.items()}
    used = _used_dimensions(dashboard.requests, values)
    return render_page(
        "dashboard.html.j2",
        styles=("dashboard.css",),
        scripts=("dashboard.js",),
        title=f"{dashboard.name}: traffic",
        name=dashboard.name,
        crumb=dashboard.crumb,
        headline=dashboard.headline,
        lead=true_minus(dashboard.headline.lead),
        reason=true_minus(dashboard.headline.reason),
        dimensions=[
            (number, dimension, list(enumerate(known)))
            for number, (dimension, known) in enumerate(values.items())
        ],
        left_out=len(dashboard.slices) - 1 - len(others),
        slices=_embed(
            {_slice_key(each, values): _slice_data(each, shared) for each in (whole, *others)}
        ),
        plots=[draw_panel(panel, own[panel.name], dashboard.axis) for panel in whole.panels],
        compared=dashboard.compared,
        axis=dashboard.axis,
        unknown=dashboard.unknown,
        never=dashboard.never,
        tables=list(enumerate(dashboard.tables)),
        requests=[_request_view(each, values, used) for each in dashboard.requests],
        request_dimensions=used,
        reasons=list(dict.fromkeys(word for each in dashboard.requests for word in each.reasons)),
        requests_about=dashboard.requests_about,
        meanings=dashboard.meanings,
        notes=dashboard.notes,
    )


def fit_slices(dashboard: Dashboard) -> list[TrafficSlice]:
    """Return the parts of traffic that the page can hold, those of one dimension first, then the largest."""
    per_slice = sum(len(panel.lines) for panel in dashboard.slices[0].panels) * len(
        dashboard.axis.names
    )
    ordered = sorted(dashboard.slices[1:], key=lambda each: (len(each.chosen), -each.requests))
    return ordered[: MAX_VALUES // max(per_slice, 1)]


def _same_panel(name: str, slices: Sequence[TrafficSlice]) -> Iterator[DashboardPanel]:
    return (panel for each in slices for panel in each.panels if panel.name == name)


def _slice_key(part: TrafficSlice, values: Mapping[str, Sequence[str]]) -> str:
    """Return the key by which the script finds a slice: numbers of dimensions and of their values.

    That of all traffic is empty.
    """
    dimensions = list(values)
    chosen = sorted(
        (dimensions.index(dimension), values[dimension].index(value))
        for dimension, value in part.chosen
    )
    return " ".join(f"{dimension}:{value}" for dimension, value in chosen)


def _slice_data(part: TrafficSlice, scales: Mapping[str, PanelScale]) -> dict[str, Any]:
    """Return the positions and the texts of a slice, which the script shows."""
    plots, texts = {}, {}
    for panel in part.panels:
        placed = place_panel(panel, scales[panel.name])
        plots[panel.name] = {
            "bars": placed.bars,
            "lines": {line.name: line.points for line in placed.lines},
            # The ticks are the same in all slices.
            "ticks": [] if part.chosen else list_ticks(panel, scales[panel.name]),
            "titles": [step_text(panel, index) for index in placed.columns],
        }
        texts[panel.name] = now_text(panel)
        texts[f"{panel.name}-about"] = about_text(panel)
    about = f"{format_count(part.requests, 'request')} of " + ", ".join(
        f"{dimension} {value}" for dimension, value in part.chosen
    )
    about += ". The thin line is all traffic."
    if not any(each and each.low is not None for each in _all_steps(part)):
        about += " Only the whole time has intervals."
    return {"about": escape_unsafe(about), "plots": plots, "texts": texts}


def _all_steps(part: TrafficSlice) -> Iterator[PanelValue | None]:
    return (each for panel in part.panels for line in panel.lines for each in line.steps)


def _used_dimensions(
    requests: Sequence[NotableRequest], values: Mapping[str, Sequence[str]]
) -> list[str]:
    return [name for name in values if any(each.values.get(name) for each in requests)]


def _request_view(
    request: NotableRequest, values: Mapping[str, Sequence[str]], used: Sequence[str]
) -> dict[str, Any]:
    """Return a request with the numbers of its values, by which the script filters.

    It has no numbers for dimensions that are unknown for all, such as attributes of spans.
    """
    numbers = {
        number: "".join(
            f"[{known.index(value)}]"
            for value in request.values.get(dimension, ())
            if value in known
        )
        for number, (dimension, known) in enumerate(values.items())
        if dimension in used
    }
    return {
        "request": request,
        "numbers": numbers,
        "reasons": "".join(f"[{word}]" for word in request.reasons),
        "values": {name: ", ".join(found) for name, found in request.values.items()},
    }


def _embed(data: Any) -> Markup:
    """Return data as JSON that cannot end the element in which it is."""
    text = json.dumps(data, separators=(",", ":"))
    for char in "<>&":
        text = text.replace(char, f"\\u{ord(char):04x}")
    return Markup(text)  # noqa: S704 - no character of it is markup
