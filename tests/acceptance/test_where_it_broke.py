"""Where a failed run broke: the first differences from the baseline, and what goes with failing."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest

import evalkit
from tests.conftest import Done, Project

SCHEMA = json.loads((Path(evalkit.__file__).parent / "schemas" / "report.schema.json").read_text())

AGENT = """
    import evalkit
    from settings import CURRENCY, EXTRA, MODEL, WRONG

    def call(name, file="shop/search.py", **arguments):
        with evalkit.span("tool", name, arguments=arguments, **{"code.file.path": file}) as step:
            step.set(result="ok")

    def answer(text):
        number = int(text)
        with evalkit.span("agent", "shop"):
            with evalkit.span("model", "plan", model=MODEL):
                pass
            call("search", query=text)
            if number % 3 == 0:
                call("convert", "/srv/checkout/shop/money.py", amount=number, currency=CURRENCY)
            if EXTRA and number % 5 == 0:
                call("log", text=text)
        return "?" if number % WRONG == 0 else text
"""
SET = """
evalset: shop
agent: {python: ./agent.py:answer}
metrics: [exact_match]
trials: 1
gate: [{metric: exact_match, max_drop: 0.02}]
cases:
""" + "".join(f'  - {{id: c{n}, input: "{n}", expected: "{n}"}}\n' for n in range(1, 31))
BEFORE = 'MODEL, CURRENCY, EXTRA, WRONG = "m1", "USD", False, 1000\n'
ROW = "argument currency of convert is now EUR"


@pytest.fixture
def shop(project: Project) -> Project:
    project.write("agent.py", AGENT)
    project.write("settings.py", BEFORE)
    project.write("shop.yaml", SET)
    assert project.evalkit("baseline", "shop.yaml", "--trials", "2").code == 0
    return project


def run(shop: Project, settings: str, *options: str) -> Done:
    shop.write("settings.py", settings)
    done = shop.evalkit("run", "shop.yaml", *options)
    assert done.code == 1, done.err + done.out
    return done


def where(shop: Project, settings: str) -> Any:
    document = run(shop, settings, "--format", "json").json
    jsonschema.validate(document, SCHEMA)
    return document["where_it_broke"]


BROKEN = 'MODEL, CURRENCY, EXTRA, WRONG = "m2", "EUR", True, 3\n'


def test_the_argument_that_goes_with_failing_is_named_in_every_report(shop: Project) -> None:
    paths = {kind: f"out.{kind}" for kind in ("md", "html", "xml", "csv")}
    files = (
        "--markdown",
        paths["md"],
        "--html",
        paths["html"],
        "--junit",
        paths["xml"],
        "--csv",
        paths["csv"],
    )
    document = run(shop, BROKEN, "--format", "json", *files).json
    jsonschema.validate(document, SCHEMA)
    texts = {kind: (shop.folder / path).read_text() for kind, path in paths.items()}
    texts["txt"] = shop.evalkit("show", "latest", "-v").out
    texts["comment"] = shop.evalkit("comment", "latest").out
    for kind in ("md", "html", "txt", "comment"):
        assert ROW in texts[kind], kind
        assert "Associated is not caused" in texts[kind], kind
    assert texts["xml"].count("step 4: other argument currency of convert") == 10
    assert texts["csv"].count("step 4: other argument currency of convert") == 10
    assert max(map(len, texts["txt"].splitlines())) <= 80
    found = document["where_it_broke"]
    (row,) = found["associations"]
    assert (row["kind"], row["feature"], row["failing"], row["passing"]) == ("value", ROW, 10, 0)
    assert row["p_value"] < 1e-5
    assert found["compared"] == "spans"
    assert found["shared"] == ["model m2 instead of m1"], "it separates nothing, and hides nothing"
    assert {case["case_id"] for case in found["cases"]} == {f"c{n}" for n in range(3, 31, 3)}
    by_case = {case["case_id"]: case for case in found["cases"]}
    assert by_case["c3"] == {
        "case_id": "c3", "step": 4, "difference": "other argument currency of convert"
    }  # fmt: skip
    assert by_case["c15"]["step"] == 4, "the extra step comes later"


def test_the_baselines_tool_calls_are_enough(shop: Project) -> None:
    """As in CI, where the run that made the baseline is not stored."""
    shutil.rmtree(shop.folder / ".evalkit")
    found = where(shop, BROKEN)
    assert found["compared"] == "tool calls"
    assert found["shared"] == [], "models are in spans only"
    assert [row["feature"] for row in found["associations"]] == [ROW]


def test_breakage_that_no_step_shows_names_nothing(shop: Project) -> None:
    found = where(shop, BEFORE.replace("1000", "4").replace("False", "True"))
    assert found["associations"] == []
    assert found["tested"] > 0, "the extra step was tested"
    assert {case["difference"] for case in found["cases"]} == {
        "other answer after the same steps", "extra step log"
    }  # fmt: skip
    assert (
        "No step, tool, argument, or model is associated"
        in shop.evalkit("show", "latest", "-v").out
    )


def test_nothing_is_said_without_steps_and_the_missing_side_is_named(shop: Project) -> None:
    shop.write("plain.py", "def answer(text):\n    return '?'\n")
    done = shop.evalkit("run", "shop.yaml", "--agent", "./plain.py:answer")
    assert "because the run has neither spans nor tool calls" in " ".join(done.out.split())
    shop.write("agent.py", "def answer(text):\n    return text\n")
    assert shop.evalkit("baseline", "shop.yaml", "--trials", "1").code == 0
    done = shop.evalkit("run", "shop.yaml", "--agent", "./plain.py:answer")
    assert done.code == 1
    assert "Where it broke" not in done.out


def test_a_changed_file_that_failing_cases_run_is_named(
    project: Project, git: Callable[..., str]
) -> None:
    project.write("agent.py", AGENT)
    project.write("settings.py", BEFORE)
    project.write("shop.yaml", SET)
    for name in ("money.py", "search.py", "unused.py"):
        project.write(f"shop/{name}", "one = 1\n")
    project.write(".gitignore", ".evalkit\n__pycache__\n")
    git("init", "-q")
    git("add", "-A")
    git("commit", "-qm", "one")
    assert project.evalkit("baseline", "shop.yaml", "--trials", "2").code == 0
    for name in ("money.py", "search.py", "unused.py"):
        project.write(f"shop/{name}", "one = 2\n")
    project.write("settings.py", BEFORE.replace("1000", "3"))
    git("add", "-A")
    git("commit", "-qm", "two")
    (row,) = where(project, BEFORE.replace("1000", "3"))["associations"]
    assert row["feature"] == "runs code of shop/money.py, which changed"
    assert (row["failing"], row["passing"]) == (10, 0)
