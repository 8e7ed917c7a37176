"""Two runs compared as `evalkit diff` compares them, for notebooks."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from evalkit.core.format import format_count
from evalkit.notebook.tables import ShownAsTable, Table
from evalkit.report import diff_content

if TYPE_CHECKING:
    import pandas as pd

    from evalkit.report.model import Diff

CASE_COLUMNS = (
    "case_id",
    "status",
    "origin",
    "flaky",
    "score_changed",
    "newly_failing",
    "base_passed",
    "base_trials",
    "passed",
    "trials",
)
"""The columns of `RunComparison.cases`; the fields of `evalkit.core.gate_result.CaseChange`."""

MAX_SHOWN_CASES = 20
"""Changed cases that a notebook shows; the table `cases` has all."""

METRIC_COLUMNS = ("metric", "tag", "unit", "base", "candidate", "difference", "cases", "why_not")


class RunComparison(ShownAsTable):
    """A baseline compared with a run, with the numbers and words of `evalkit diff`."""

    def __init__(self, diff: Diff) -> None:
        self._diff = diff

    @cached_property
    def cases(self) -> pd.DataFrame:
        """One row for each case of either run.

        case_id; status (regressed, fixed, failing...) and origin, as in every report; flaky, score_changed,
        newly_failing; and counts of trials: base_passed of base_trials before, passed of trials now. Only
        completely scored trials count.
        """
        import pandas as pd  # noqa: PLC0415

        changes = self._diff.comparison.cases
        return pd.DataFrame(
            [[getattr(change, name) for name in CASE_COLUMNS] for change in changes],
            columns=list(CASE_COLUMNS),
        )

    @cached_property
    def metrics(self) -> pd.DataFrame:
        """One row for each metric, and for each metric and tag.

        metric, tag (None for all cases), unit (empty for a share in 0..1), base and candidate (means over the
        shared cases, in the unit), difference (candidate minus base), cases (how many are shared), and
        why_not (why the metric cannot be compared; empty if it can).
        """
        import pandas as pd  # noqa: PLC0415

        changes = self._diff.comparison.metrics
        return pd.DataFrame(
            [[getattr(change, name) for name in METRIC_COLUMNS] for change in changes],
            columns=list(METRIC_COLUMNS),
        )

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences about what limits the comparison."""
        return tuple(diff_content.diff_notes(self._diff))

    @property
    def _table(self) -> Table:
        diff = self._diff
        metrics = [
            diff_content.metric_change_row(change) for change in diff_content.metric_changes(diff)
        ]
        changes = diff_content.changed_cases(diff)
        changed = [
            f"{diff_content.change_label(change)} {change.case_id}: {diff_content.change_passes(change)}"
            for change in changes[:MAX_SHOWN_CASES]
        ]
        left_out = len(changes) - MAX_SHOWN_CASES
        if left_out > 0:
            changed.append(f"{format_count(left_out, 'more case')} in `cases`.")
        return Table(
            heading=" -> ".join(diff_content.side_names(diff)),
            sentences=(f"Cases: {diff_content.case_counts_text(diff)}", *changed),
            titles=("metric", "before", "now", "change", "over"),
            rows=tuple(metrics),
            notes=self.notes,
        )
