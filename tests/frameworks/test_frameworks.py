"""The same agent in every framework gives the same figures: its calls, errors, tokens, cost, and steps."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

import evalkit
from tests.conftest import Project
from tests.frameworks.order_model import INPUT_TOKENS, MODEL, OUTPUT_TOKENS, serve_order_model
from tests.support.paths import ROOT

pytestmark = pytest.mark.slow

TRACES = (ROOT / "evalkit" / "guide" / "traces.md").read_text()

AGENTS = Path(__file__).parent / "agents"

NEEDED = {
    "pydantic_ai": "pydantic_ai",
    "pydantic_ai_sync": "pydantic_ai",
    "openai_agents": "agents openinference.instrumentation.openai_agents",
    "openai_agents_sync": "agents openinference.instrumentation.openai_agents",
    "langgraph": "langgraph langchain_openai openinference.instrumentation.langchain",
    "langgraph_twice": "langgraph langchain_openai openinference.instrumentation.openai",
    "smolagents": "smolagents openinference.instrumentation.smolagents",
    "strands": "strands",
    "google_adk": "google.adk litellm",
    "crewai": "crewai openinference.instrumentation.crewai",
    "autogen": "autogen_agentchat openinference.instrumentation.autogen_agentchat",
    "autogen_native": "autogen_agentchat openinference.instrumentation.openai",
    "mcp": "mcp agents openinference.instrumentation.openai_agents",
}
"""The modules that each agent imports."""

SET = """
    evalset: orders
    agent: {python: "./AGENT_agent.py:answer", env: [OPENAI_BASE_URL, OPENAI_API_KEY], timeout_s: 60}
    metrics:
      - {contains: {expected: text}, name: has}
      - tool_calls: any_order
      - tool_error_rate
      - steps
      - model_calls
      - tool_call_count
      - tokens
      - cost_usd
    gate: [{metric: has, min: 1.0}]
    max_errors: 1
    concurrency: 2
    cases:
      - {id: one, input: "Where is order 1?", expected: {text: shipped, tool_calls: [{name: get_order, arguments: {order_id: 1}}]}}
      - {id: missing, input: "Where is order 7?", expected: {text: does not exist, tool_calls: [{name: get_order, arguments: {order_id: 7}}]}}
      - {id: two, input: "Where is order 8?", expected: {text: shipped, tool_calls: [{name: get_order, arguments: {order_id: 8}}, {name: get_order, arguments: {order_id: 80}}]}}
      - {id: refused, input: "Where is order 9?", expected: {text: shipped, tool_calls: []}}
      - {id: none, input: "Where is order 10?", expected: {text: shipped, tool_calls: []}}
"""

FIGURES: dict[str, dict[str, float | None]] = {
    "one": {"steps": 3, "model_calls": 2, "tool_call_count": 1, "tool_error_rate": 0.0},
    "missing": {"steps": 3, "model_calls": 2, "tool_call_count": 1, "tool_error_rate": 1.0},
    "two": {"steps": 4, "model_calls": 2, "tool_call_count": 2, "tool_error_rate": 0.0},
    "none": {"steps": 1, "model_calls": 1, "tool_call_count": 0, "tool_error_rate": None},
}

CALL_USD = (INPUT_TOKENS * 0.15 + OUTPUT_TOKENS * 0.60) / 1e6
"""The price of one call of gpt-4o-mini in the list of known prices."""


@pytest.fixture(scope="module")
def model_url() -> Iterator[str]:
    with serve_order_model() as url:
        yield url


def need(module: str) -> None:
    """Skip a test whose framework is not installed; where all have to be, it fails."""
    try:
        is_installed = importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        is_installed = False
    if not is_installed:
        stop = pytest.fail if os.environ.get("EVALKIT_REQUIRE_FRAMEWORKS") else pytest.skip
        stop(f"{module} is not installed. Run: pip install -e '.[frameworks]'")


@pytest.mark.parametrize("framework", NEEDED)
def test_the_same_agent_has_the_same_figures(
    framework: str, project: Project, model_url: str
) -> None:
    for module in NEEDED[framework].split():
        need(module)
    for path in AGENTS.glob("*.py"):
        shutil.copy(path, project.folder)
    project.write("orders.yaml", SET.replace("AGENT", framework))
    env = {"OPENAI_BASE_URL": model_url, "OPENAI_API_KEY": "none"}
    done = project.evalkit("run", "orders.yaml", env=env, timeout_s=110)
    rows = {row["case_id"]: row for row in project.rows()}
    assert done.code == 0, done.out + done.err
    assert rows.pop("refused")["output"]["error"]["kind"] == "exception"
    assert rows.keys() == FIGURES.keys()
    for case, row in rows.items():
        scores = {score["metric"]: score for score in row["scores"]}
        values = {name: scores[name].get("value") for name in FIGURES[case]}
        assert values == FIGURES[case], (case, row)
        calls: int = scores["model_calls"]["value"]
        assert scores["tokens"]["value"] == calls * (INPUT_TOKENS + OUTPUT_TOKENS)
        assert scores["cost_usd"]["value"] == pytest.approx(calls * CALL_USD)
        assert (scores["tool_calls"]["passed"], scores["has"]["passed"]) == (True, True)
    [call] = rows["missing"]["output"]["tool_calls"]
    assert "no such order 7" in call["error"]
    assert figures_of(project, "model") == (7 + 1, {MODEL})
    assert figures_of(project, "tool") == (4, {"get_order"})


def figures_of(project: Project, kind: str) -> tuple[int, set[str]]:
    """The number of stored spans of a kind, with the refused call, and the names of what was called."""
    # smolagents does not name the model of a call that failed.
    sql = f"select {kind} as called, count(*) as n from spans where kind = '{kind}' group by all"
    done = project.evalkit("traces", "--sql", sql, "--format", "json")
    assert done.code == 0, done.err
    rows = done.json["rows"]
    names = {row["called"].rpartition("/")[2].removesuffix("-2024-07-18") for row in rows}
    return sum(row["n"] for row in rows), names - {""}


def test_the_agent_in_the_guide_is_complete(project: Project) -> None:
    need("pydantic_ai")
    code = re.search(r"```python\n# orders.py\n(.*?)```", TRACES, re.DOTALL)
    assert code
    project.write("orders.py", code[1])
    project.write(
        "orders.yaml",
        """
        agent: {python: "./orders.py:answer"}
        cases: [{id: seven, input: Where is order 7?, expected: shipped}]
        """,
    )
    done = project.evalkit("run", "orders.yaml")
    assert done.code == 0, done.out + done.err
    assert "tool get_order" in project.evalkit("show", "latest", "seven").out
    spans = evalkit.load_run("latest", project.folder).spans
    assert list(spans["kind"]) == ["agent", "model", "tool", "model"]
    assert (spans[spans.kind == "model"].input_tokens > 0).all()
