"""Render the checks of `evalkit doctor` as terminal lines and as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from evalkit.core.format import format_count
from evalkit.report.documents import render_record
from evalkit.report.screen import Screen, Style, join_sections

CheckStatus: TypeAlias = Literal["ok", "warn", "fail"]

SEVERITY: tuple[CheckStatus, ...] = ("ok", "warn", "fail")
"""The statuses, the worst last."""

_STYLES: Mapping[CheckStatus, Style] = {"ok": "good", "warn": "warn", "fail": "bad"}


@dataclass(frozen=True, kw_only=True, slots=True)
class PlaceCheck:
    """One check of the place that evalkit runs in: what was found, and what to do unless it is `ok`."""

    name: str
    status: CheckStatus
    found: str
    advice: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Diagnosis:
    """All checks. `status` is the worst of them."""

    status: CheckStatus
    checks: tuple[PlaceCheck, ...]


def diagnosis_text(diagnosis: Diagnosis, screen: Screen) -> str:
    """Render one line for each check, and the number of problems."""
    lines = []
    for check in diagnosis.checks:
        label = f"  {check.status:<4}  {check.name:<8}  "
        space = " " * len(label)
        first, *rest = screen.fold(
            f"{check.found} {check.advice}".rstrip(), indent=space, hang=space
        )
        labeled = label + first.removeprefix(space)
        style = _STYLES[check.status]
        lines += screen.paint_start([labeled, *rest], check.status, style, indent="  ")
    failed, warned = (
        sum(check.status == status for check in diagnosis.checks) for status in ("fail", "warn")
    )
    problems = [
        format_count(failed, "check") + " failed" if failed else "",
        format_count(warned, "warning") if warned else "",
    ]
    summary = ", ".join(filter(None, problems)) or "Everything is in order"
    return join_sections([lines, [f"{summary}."]])


def diagnosis_json(diagnosis: Diagnosis) -> str:
    """Render the checks as an `evalkit.doctor/v1` document."""
    return render_record("evalkit.doctor/v1", diagnosis)
