"""The dashboard of traffic: one page, filters that show what was computed, and no number that is unknown."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

from evalkit.traffic.dashboard import build_dashboard
from evalkit.traffic.dashboard_page import fit_slices, render_dashboard
from evalkit.traffic.report_record import TrafficReport
from tests.report.test_html import tree_of
from tests.support.browser import browser, check_page, check_widths, open_page
from tests.support.traffic_reports import bare_report, full_report, listed_requests

__all__ = ["browser"]

CHOOSE = """([number, value]) => {
  const select = document.querySelector(`[data-dimension="${number}"]`);
  select.value = value;
  select.dispatchEvent(new Event("input"));
}"""
ROWS = "[...document.querySelectorAll('#requests tbody tr')].filter(row => !row.hidden).length"


def write_page(path: Path, report: TrafficReport, **parts: TrafficReport) -> Path:
    requests = listed_requests() if report.breakdowns[1:] else ()
    path.write_text(render_dashboard(build_dashboard(report, requests, parts)), encoding="utf-8")
    return path


def test_a_page_of_several_days_passes_the_check_of_pages(browser: Any, tmp_path: Path) -> None:
    check_page(browser, write_page(tmp_path / "page.html", full_report()))


def test_a_page_of_one_day_shows_what_is_unknown_as_no_data(browser: Any, tmp_path: Path) -> None:
    page = write_page(tmp_path / "page.html", bare_report())
    with open_page(browser, page.as_uri()) as opened:
        check_widths(opened)
    text = re.sub(r"<style>.*?</style>|<script.*?</script>", "", page.read_text(), flags=re.DOTALL)
    assert "Not known for any request: success, errors" in text
    assert "No request names a version" in text
    assert text.count("data-plot=") == 1
    assert "None." in text
    assert "0.0%" not in text
    assert "$0" not in text


def test_filters_show_the_values_of_a_part_and_its_requests(browser: Any, tmp_path: Path) -> None:
    report = full_report()
    path = write_page(tmp_path / "page.html", report, v2=report)
    with open_page(browser, path.as_uri()) as page:
        whole = page.inner_text("[data-all=success_rate]")
        listed = page.evaluate(ROWS)
        page.evaluate(CHOOSE, [0, "1"])
        version = report.versions[1]
        found = version.find("success_rate")
        assert found is not None
        assert found.value is not None
        assert page.inner_text("[data-all=success_rate]") == f"{found.value:.1%}" != whole
        assert "590 requests of version v2" in page.inner_text("#slice-about")
        # All traffic stays as a thin line behind that of the version, which began on the sixth day.
        drawn = page.locator("[data-plot=success_rate] .slice > .line circle")
        ghost = page.locator("[data-plot=success_rate] .ghost .series")
        assert (drawn.count(), ghost.count()) == (3, 7)
        assert not page.is_visible("[data-plot=success_rate] .data")
        assert page.text_content("[data-step='success_rate 0']") == "no data"
        assert 0 < page.evaluate(ROWS) < listed
        # Two filters have values if a version is one of them. Otherwise the plots show all traffic.
        page.evaluate(CHOOSE, [3, "2"])
        assert "tool handover" in page.inner_text("#slice-about")
        page.evaluate(CHOOSE, [0, ""])
        page.evaluate(CHOOSE, [1, "0"])
        assert page.is_visible("#slice-missing")
        assert page.inner_text("[data-all=success_rate]") == whole
        # Nothing is known of the region of a single request.
        page.click("#reset")
        page.evaluate(CHOOSE, [4, "1"])
        assert "cloud.region us-east-1" in page.inner_text("#slice-about")
        assert page.evaluate(ROWS) == listed
        page.click("#reset")
        assert page.evaluate(ROWS) == listed
        assert page.locator(".slice").count() == 0


def test_names_of_production_are_text(tmp_path: Path) -> None:
    hostile = "</script><img src=x onerror=alert(1)>\u202e&quot;"

    def poison(report: TrafficReport, name: str) -> TrafficReport:
        return replace(
            report,
            breakdowns=tuple(
                replace(
                    each,
                    groups=(
                        replace(each.groups[0], name=name, errors={name: 3}),
                        *each.groups[1:],
                    ),
                )
                for each in report.breakdowns
            ),
            timelines=tuple(
                replace(each, name=name) if each.name in ("v1", "control") else each
                for each in report.timelines
            ),
            whole=replace(report.whole, errors={name: 9, "b": 2}),
            warnings=(name,),
        )

    benign = write_page(tmp_path / "a.html", poison(full_report(), "harmless")).read_text()
    page = write_page(tmp_path / "b.html", poison(full_report(), hostile)).read_text()
    assert tree_of(page).shape == tree_of(benign).shape
    assert "\u202e" not in page
    data = re.search(r'id="slices">(.*?)</script>', page, re.DOTALL)
    assert data
    assert "<" not in data[1]
    assert any(r"\u202e" in each["about"] for each in json.loads(data[1]).values())


def test_a_page_holds_the_largest_parts_that_fit() -> None:
    dashboard = build_dashboard(full_report(), (), {"v2": full_report()})
    part = dashboard.slices[-1]
    many = replace(dashboard, slices=(*dashboard.slices, *[replace(part, requests=1)] * 900))
    kept = fit_slices(many)
    assert len(dashboard.slices) - 1 < len(kept) < 800
    single = [each for each in dashboard.slices[1:] if len(each.chosen) == 1]
    assert all(each in kept[: len(single)] for each in single)
