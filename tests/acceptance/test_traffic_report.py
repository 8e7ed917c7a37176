"""`evalkit traffic report` and `evalkit traffic list`, as a user types them."""

from __future__ import annotations

import csv
import io
import json
import re
from typing import Any

import pytest

from evalkit.core.safe_text import markdown_code
from tests.conftest import Project
from tests.support.traffic_samples import export, support_request, write_lines

HOSTILE = "\x1b[31m=cmd|'x'!A1 <script>|`a`"


@pytest.fixture
def prod(project: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project with 120 requests of two versions on two days, of which the second fails more."""
    monkeypatch.setenv("EVALKIT_REDACTION_KEY", "a-key-for-tests-only-0123456789")
    exports: list[Any] = [
        export(
            support_request(
                number, day=number // 60, failed=number % (4 if number >= 60 else 20) == 0
            ),
            service__version=HOSTILE if number >= 60 else "v1",
        )
        for number in range(120)
    ]
    write_lines(project.folder / "all.jsonl", exports)
    assert project.evalkit("traffic", "import", "all.jsonl", "--as", "prod").code == 0
    return project


def test_every_format_says_the_same_and_nothing_of_the_data_acts(prod: Project) -> None:
    shown = prod.evalkit("traffic", "report", "prod")
    assert shown.code == 0, shown.err
    assert "prod: 120 requests of 50 users, Sun 2026-11-01 08:00" in shown.out
    assert "success" in shown.out
    assert "85.0%" in shown.out
    assert "\x1b" not in shown.out
    assert all(len(line) <= 80 for line in shown.out.splitlines())

    done = prod.evalkit("traffic", "report", "prod", "--format", "json")
    document = json.loads(done.out)
    assert document["schema"] == "evalkit.traffic_report/v1"
    [success, *_] = document["whole"]["estimates"]
    assert (success["measure"], success["stat"], success["requests"]) == (
        "success_rate",
        "mean",
        120,
    )
    assert success["value"] == pytest.approx(0.85)
    assert success["low"] < 0.85 < success["high"]
    [comparison] = document["comparisons"]
    assert (comparison["base"], comparison["candidate"]) == ("v1", HOSTILE)

    done = prod.evalkit("traffic", "report", "prod", "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(done.out)))
    assert rows[0]["measure"] == "success_rate"
    assert float(rows[0]["value"]) == pytest.approx(0.85)
    assert {row["name"] for row in rows if row["by"] == "version"} == {
        "v1",
        HOSTILE.replace("\x1b", "\\x1b"),
    }

    done = prod.evalkit("traffic", "report", "prod", "--format", "markdown", "-o", "report.md")
    assert (done.code, done.out) == (0, "")
    text = (prod.folder / "report.md").read_text()
    assert "| success | 85.0% |" in text
    assert "\x1b" not in text
    # Names are code, in which a page shows tags as they are.
    shown_name = markdown_code(HOSTILE, cell=True)
    assert shown_name in text
    assert "<script>" not in re.sub(r"\\<", "", text.replace(shown_name, ""))


def test_failing_requests_of_a_version_with_a_tool_on_a_day(prod: Project) -> None:
    query = ("traffic", "list", "prod", "--version", "v1", "--tool", "get_order", "--failed")
    listed = prod.evalkit(*query, "--day", "2026-11-01")
    assert listed.code == 0, listed.err
    # Requests 0, 20, and 40; an id is never cut, because it is typed.
    for number in (0, 20, 40):
        assert f"otlp:{number + 1:032x}" in listed.out
    assert "3 requests" in listed.out
    assert "3 requests" not in prod.evalkit(*query, "--day", "2026-11-02").out
    done = prod.evalkit(*query, "--limit", "1", "--format", "json")
    document = json.loads(done.out)
    assert document["total"] == 3
    [request] = document["requests"]
    assert (request["ok"], request["tools"], request["version"]) == (False, ["get_order"], "v1")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("report", "prdo"), "no traffic is stored as 'prdo'. Did you mean 'prod'?"),
        (
            ("report", "prod", "--only", "versoin=v1"),
            "'versoin=v1' is no condition. Write version=",
        ),
        (("report", "prod", "--compare", "v1"), "name two versions or arms, the base first"),
        (("list", "prod", "--day", "yesterday"), "'yesterday' is no day. Write it as 2026-11-23"),
        (("list", "prod", "--day", "2026-11-29..2026-11-23"), "is no day"),
        (("list", "prod", "--only", "day"), "'day' is no condition"),
    ],
)
def test_a_wrong_argument_is_one_clear_error(
    prod: Project, arguments: tuple[str, ...], message: str
) -> None:
    done = prod.evalkit("traffic", *arguments)
    assert (done.code, done.out) == (2, "")
    assert message in done.err
    assert "Traceback" not in done.err
