"""A file of traces gives the same requests, whichever framework wrote it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from evalkit.traffic.table import open_traffic
from tests.conftest import Project
from tests.frameworks.order_model import INPUT_TOKENS, OUTPUT_TOKENS, serve_order_model
from tests.frameworks.test_frameworks import CALL_USD, NEEDED, need
from tests.support.paths import ROOT

pytestmark = pytest.mark.slow

DRIVER = Path(__file__).with_name("traffic_driver.py")

# Its two instrumentations write traces of their own for each call.
FRAMEWORKS = [name for name in NEEDED if name != "langgraph_twice"]

USED = (2 * INPUT_TOKENS, 2 * OUTPUT_TOKENS, round(2 * CALL_USD * 1e6))

EXPECTED = {
    "Where is order 1?": ("order 1 shipped", True, ["get_order"], 0, *USED),
    "Where is order 7?": ("order 7 does not exist", True, ["get_order"], 1, *USED),
    "Where is order 8?": ("order 8 shipped", True, ["get_order", "get_order"], 0, *USED),
    "Where is order 9?": (None, False, [], 0, None, None, None),
}
"""For each question: answer, success, tools, failed tools, tokens, and cost in millionths."""


@pytest.fixture(scope="module")
def model_url() -> Iterator[str]:
    with serve_order_model() as url:
        yield url


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_the_same_agent_has_the_same_requests(
    framework: str, project: Project, model_url: str
) -> None:
    for module in NEEDED[framework].split():
        need(module)
    served = {"OPENAI_BASE_URL": model_url, "OPENAI_API_KEY": "none"}
    subprocess.run(
        [sys.executable, str(DRIVER), framework, "traces.pb"],
        cwd=project.folder, env={**os.environ, **served, "PYTHONPATH": str(ROOT)},
        check=True, capture_output=True, timeout=110,
    )  # fmt: skip
    key = {"EVALKIT_REDACTION_KEY": "a-key-for-tests-only-0123456789"}
    done = project.evalkit("traffic", "import", "traces.pb", "--as", "prod", env=key)
    assert done.code == 0, done.err
    with open_traffic(project.folder / ".evalkit/traffic/prod") as connection:
        rows = connection.execute(
            "select name = 'POST /chat', regexp_extract(input, 'Where is order .[?]'), trim(output, e'\\n'), ok, "
            "tools, tool_errors, input_tokens, output_tokens, round(cost_usd * 1e6) from requests"
        ).fetchall()
        [served_by] = connection.execute(
            'select count(*), count(distinct "user"), count(distinct session), min(version), '
            "max(version), min(latency_ms) > 0, bool_or(incomplete), "
            "list(error_type) filter (not ok) from requests where name = 'POST /chat'"
        ).fetchall()
    # smolagents ends no trace of a run that failed.
    direct = {row[1]: row[2:] for row in rows if not row[0] and row[3]}
    assert direct == {asked: known for asked, known in EXPECTED.items() if known[1]}
    assert {row[1]: row[2:] for row in rows if row[0]} == EXPECTED
    assert len(rows) == 8
    *counts, [error_type] = served_by
    assert counts == [4, 4, 4, "v7", "v7", True, False]
    # The cause, not that of the web server.
    assert error_type in {"error", "BadRequestError", "ModelHTTPError", "OpenAIInvalidRequestError"}
