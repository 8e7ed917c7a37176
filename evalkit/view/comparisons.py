"""Render the list of what a run can be compared with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from evalkit.report.html.page import render_page
from evalkit.view.catalog import StoredRun
from evalkit.view.overview import Finder, run_view

_MAX_RUNS = 200


class ComparisonLinks(NamedTuple):
    """Links from the list: to the home page, the run's report, and comparisons; empty where there is none."""

    home: str
    run: str
    baseline: str
    others: Mapping[str, str]


def render_comparisons(
    run: StoredRun, runs: Sequence[StoredRun], links: ComparisonLinks, find: Finder
) -> str:
    """Return the page that links to the comparisons of a run with its baseline and with other runs.

    Args:
        run: the run.
        runs: all runs, newest first; those without a link are left out.
        links: the links of the page.
        find: returns what is known of the result of a run.
    """
    others = [each for each in runs if links.others.get(each.id)]
    same = [each for each in others if each.evalset_path == run.evalset_path]
    rest = [each for each in others if each.evalset_path != run.evalset_path]
    groups = [
        (f"Other runs of {run.evalset}", same[:_MAX_RUNS]),
        ("Runs of other sets", rest[: max(0, _MAX_RUNS - len(same))]),
    ]
    left_out = len(others) - sum(len(group) for _, group in groups)
    command = f"evalkit diff RUN {run.id}"
    return render_page(
        "compare.html.j2",
        styles=("view.css",),
        scripts=("view.js",),
        title=f"Compare {run.id}",
        home=links.home,
        run_href=links.run,
        id=run.id,
        evalset=run.evalset,
        baseline_href=links.baseline,
        groups=[
            (title, [run_view(each, find, links.others[each.id], "") for each in group])
            for title, group in groups
            if group
        ],
        left_out=f"{left_out:,} more runs are not listed. Compare them with: {command}"
        if left_out
        else "",
    )
