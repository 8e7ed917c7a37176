"""Write the labels of axes so that they do not overlap at any width of the screen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from evalkit.core.format import format_bound

LABEL_GAP_PX = 8
LETTER_PX = 7.0
"""An average width of the 12 px letters of an axis; few texts are wider."""


class PlotWidth(NamedTuple):
    """A class of screens, and the smallest width of a plot on them, in pixels."""

    name: str
    pixels: float


WIDTHS = (PlotWidth("s", 236), PlotWidth("m", 520), PlotWidth("l", 900))
"""Labels are placed once for each of these; the style sheet shows those of the class of the screen."""
SMALL_WIDTHS = tuple(each._replace(pixels=WIDTHS[0].pixels) for each in WIDTHS)
"""The same for small plots, of which several are side by side on a wide screen."""


class AxisLabel(NamedTuple):
    """A text at a share `x` of the width; `shown` has the names of the widths that have space for it."""

    x: float
    anchor: str
    text: str
    shown: str


def tick_text(value: float, unit: str) -> str:
    """Return a round value as the label of an axis; a unit that is a word is in the title of the plot."""
    return format_bound(value, unit) if unit in ("", "usd") else f"{value:.10g}"


def place_labels(
    texts: Sequence[tuple[float, str]], widths: Sequence[PlotWidth] = WIDTHS
) -> list[AxisLabel]:
    """Place texts below a plot so that they do not overlap at any width; the last one is always shown.

    Args:
        texts: the center of each text as a share of the width, in ascending order.
        widths: the smallest width of the plot on each class of screens.
    """
    found: dict[tuple[float, str, str], list[str]] = {}
    for width in widths:
        left = width.pixels + LABEL_GAP_PX
        for x, text in reversed(texts):
            size = len(text) * LETTER_PX
            center = x * width.pixels
            place, anchor, start = x, "middle", center - size / 2
            if center + size / 2 > width.pixels:
                place, anchor, start = 1.0, "end", width.pixels - size
            elif start < 0:
                place, anchor, start = 0.0, "start", 0.0
            if start + size + LABEL_GAP_PX <= left:
                found.setdefault((place, anchor, text), []).append(width.name)
                left = start
    return [AxisLabel(*key, " ".join(names)) for key, names in found.items()]
