"""An agent cannot pass by leaving out what it did: through the command line, with a real baseline."""

from __future__ import annotations

import pytest

from tests.conftest import Project

AGENT = """
    def answer(text):
        reply = {"output": "ok", "tool_calls": [{"name": "lookup"}], "cost_usd": 0.01,
                 "usage": {"input_tokens": 3, "output_tokens": 4}, "data": {"resolved": True}}
        if LEFT_OUT and not text.endswith("0"):
            del reply[LEFT_OUT]
        return reply
"""

CASES = "\n".join(f"- {{id: c{number}, input: word {number}}}" for number in range(10))

RULES = {
    "tool_calls": "{metric: tools_not_called, min: 0.9, test: point}",
    "cost_usd": "{metric: cost_usd, max: 0.02, test: point}",
    "usage": "{metric: tokens, max_rise: 0.1, test: point}",
    "data": "{metric: resolved, min: 0.9, test: point}",
}


@pytest.mark.parametrize("left_out", RULES)
def test_what_is_no_longer_reported_is_not_decided(project: Project, left_out: str) -> None:
    metrics = "[{tools_not_called: [refund]}, cost_usd, tokens, resolved]"
    project.write(
        "set.yaml",
        f"agent: {{python: ./agent.py:answer}}\nmetrics: {metrics}\ngate: [{RULES[left_out]}]\n"
        f"cases:\n{CASES}\n",
    )
    project.write("agent.py", AGENT.replace("LEFT_OUT", "None"))
    assert project.evalkit("baseline", "set.yaml", "--trials", "2").code == 0
    project.write("agent.py", AGENT.replace("LEFT_OUT", repr(left_out)))
    done = project.evalkit("run", "set.yaml")
    assert done.code == 3, done.out
    assert "not comparable" in done.out
    assert "in 9 of 10 cases (c1, c2" in " ".join(done.out.split())
