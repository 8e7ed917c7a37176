"""Every row of the registry of report formats leads to a renderer of one run and to one of several runs."""

from __future__ import annotations

import pytest

from evalkit.report.batch import Batch, BatchPart
from evalkit.report.registry import FILE_FORMATS, PRINTED_FORMATS, FileFormat
from tests.support.report_samples import failing_report


@pytest.mark.parametrize("row", [*FILE_FORMATS.values(), *PRINTED_FORMATS.values()])
def test_a_row_loads_a_renderer_of_a_report(row: FileFormat) -> None:
    report = failing_report()
    assert "refund-window" in row.load()(report)
    part = BatchPart(label="support-2", path="a.yaml", exit_code=1, report=report)
    assert "support" in row.load_for_batch()(Batch(parts=(part,)))


def test_only_annotations_are_printed_in_addition_to_the_table() -> None:
    follows = {name for name, row in PRINTED_FORMATS.items() if row.follows_table}
    assert follows == {"github"}
