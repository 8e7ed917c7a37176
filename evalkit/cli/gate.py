"""evalkit gate: decide a stored run again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evalkit.cli.console import create_context
from evalkit.cli.options import (
    AcceptGateChangesOption,
    AllowMissingBaselineOption,
    BaselineOption,
    BaseOption,
    CsvOption,
    CtrfOption,
    HtmlOption,
    JunitOption,
    MarkdownOption,
    ReportFormat,
    ReportFormatOption,
    ReportPaths,
    RunArgument,
)
from evalkit.cli.output import check_report_paths, deliver_and_exit

if TYPE_CHECKING:
    from evalkit.ci.base import GateChoice
    from evalkit.store.refs import BaselineChoice


def gate(
    ref: RunArgument,
    baseline: BaselineOption = None,
    allow_missing_baseline: AllowMissingBaselineOption = False,
    base: BaseOption = None,
    accept_gate_changes: AcceptGateChangesOption = False,
    format: ReportFormatOption = ReportFormat.table,  # noqa: A002
    junit: JunitOption = None,
    markdown: MarkdownOption = None,
    html: HtmlOption = None,
    csv: CsvOption = None,
    ctrf: CtrfOption = None,
) -> None:
    """Decide a stored run again, paying nothing."""
    from evalkit.commands.gate import gate as decide_again

    targets = ReportPaths(junit=junit, markdown=markdown, html=html, csv=csv, ctrf=ctrf)
    check_report_paths(*targets)
    against = build_baseline_choice(baseline, allow_missing_baseline)
    choice = build_gate_choice(base, accept_gate_changes)
    deliver_and_exit(decide_again(ref, against, choice, create_context()), format, targets)


def build_baseline_choice(ref: str | None, allow_missing: bool) -> BaselineChoice:
    """The options about the baseline as one record."""
    from evalkit.store.refs import BaselineChoice

    return BaselineChoice(ref=ref, allow_missing=allow_missing)


def build_gate_choice(base: str | None, accept: bool) -> GateChoice:
    """The options about where the gate's definition comes from as one record."""
    from evalkit.ci.base import GateChoice

    return GateChoice(base=base, accept=accept)
