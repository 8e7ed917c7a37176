"""`evalkit traffic report --html`: the page of stored traffic, as a user makes it and uses its filters."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from evalkit.traffic.table import open_traffic
from tests.conftest import Project
from tests.support.browser import browser, open_page
from tests.traffic.test_dashboard import CHOOSE, ROWS

__all__ = ["browser"]

START = datetime(2026, 11, 23, tzinfo=UTC)
QUESTION = "Where is the order of Jane Doe?"


@pytest.fixture(autouse=True)
def redaction_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVALKIT_REDACTION_KEY", "a-key-for-tests-only-0123456789")


def write_log(path: Path) -> None:
    """Write three days of requests; v2 begins on the second day and fails in every fourth refund."""
    rows = []
    for number in range(300):
        is_v2, tool = number >= 120, ("refund", "lookup")[number % 2]
        failed = is_v2 and number % 8 == 0
        rows.append(
            {
                "id": f"r{number:03}",
                "ts": (START + timedelta(minutes=14 * number)).isoformat(),
                "input": QUESTION,
                "user": f"jane{number % 60}@example.com",
                "version": "v2" if is_v2 else "v1",
                "tools": [tool],
                "latency_s": 1 + number % 7 / 10,
                "error_type": "Timeout" if failed else "",
                "output": "" if failed else "It is on its way, Jane.",
            }
        )
    path.write_text("\n".join(map(json.dumps, rows)))


def test_the_page_shows_what_the_filters_choose_and_no_text_of_users(
    project: Project, browser: Any
) -> None:
    write_log(project.folder / "log.jsonl")
    done = project.evalkit("traffic", "import", "log.jsonl", "--as", "prod", "--format", "table")
    assert done.code == 0, done.err
    done = project.evalkit("traffic", "report", "prod", "--html", "page.html")
    assert done.code == 0, done.err
    path = project.folder / "page.html"
    page = path.read_text()
    with open_traffic(project.folder / ".evalkit" / "traffic" / "prod") as connection:
        stored = connection.execute(
            'select distinct "user" from requests union select distinct input from requests'
        ).fetchall()
        [(refunds, failed)] = connection.execute(
            "select count(*), count(*) filter (not ok) from requests "
            "where version = 'v2' and list_contains(tools, 'refund')"
        ).fetchall()
    assert len(stored) == 61
    assert not [text for (text,) in stored if text in page]
    assert "Jane" not in page
    assert "satisfied, " in page.partition("Not known for any request")[2].partition("</p>")[0]
    with open_page(browser, path.as_uri()) as opened:
        for dimension, value in (("version", "v2"), ("tool", "refund")):
            select = f"label:has-text('{dimension}') select"
            opened.select_option(select, label=value)
        assert f"{refunds} requests of version v2, tool refund" in opened.inner_text("#slice-about")
        shown = opened.inner_text("[data-all=error_rate]")
        assert shown == f"{failed / refunds:.1%}"
        opened.select_option("#reason", label="failed")
        assert opened.evaluate(ROWS) == failed
        opened.evaluate(CHOOSE, [0, "0"])
        assert opened.evaluate(ROWS) == 0

    done = project.evalkit("traffic", "report", "prod", "--only", "version=v1", "--html", "v1.html")
    assert done.code == 0, done.err
    page = (project.folder / "v1.html").read_text()
    assert "version=v1" in page
    assert "There is one version, v1" in page
